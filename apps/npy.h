// Writes one float32 matrix in NumPy's format, row by row.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "apps/output.h"

namespace larder::apps {

// The header of a C-ordered little-endian float32 array [n_rows][n_cols]; its size is a multiple of
// 64 bytes. Source: NumPy's format specification, version 1.0.
std::string npy_header(int64_t n_rows, int64_t n_cols);

// Appends one row. False once the output has failed.
bool write_npy_row(Output& output, std::span<const float> row);

}  // namespace larder::apps
