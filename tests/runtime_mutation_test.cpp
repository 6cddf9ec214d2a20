// Section H of the catalogue of malformed models, for every model with known answers: one change
// somewhere in the file, and the outcome is an error with cause and subject, or finite logits.
// Built twice: with a sample of the changes, for every day, and as mutation_catalogue with all.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/file_copy.h"
#include "tests/model_catalogue.h"
#include "tests/model_mutations.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::tests;

namespace {

constexpr size_t kCasesOfAModel = LARDER_MUTATIONS_OF_A_MODEL;
constexpr double kMaxSeconds = 10;  // under sanitizers and beside other work; a hang is longer

std::vector<std::string> golden_names() {
  std::set<std::string> names;
  for (const std::string folder : {LARDER_SHARED_DIR "/goldens", LARDER_TEST_DATA_DIR "/goldens"}) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none))
      if (std::filesystem::exists(entry.path() / "model.gguf"))
        names.insert(entry.path().filename().string());
  }
  return {names.begin(), names.end()};
}

bool is_error_with_reason(const Status& status) {
  // Sizes come from the file: none may make the machine run out of memory.
  return status.cause() != Cause::out_of_memory && !status.detail().message.empty() &&
         !status.detail().subject.empty();
}

void check_mutation(const GgufBuilder& sound, const Mutation& mutation) {
  INFO(mutation.name);
  GgufBuilder file = sound;
  mutation.apply(file);
  const auto start = std::chrono::steady_clock::now();
  const OpenedModel opened = open_model(file);
  const Status status = opened.model ? answer(*opened.model) : opened.model.status();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  INFO(status.to_string().substr(0, 1000));
  CHECK(passed.count() < kMaxSeconds);
  if (mutation.must_fail) CHECK_FALSE(status.ok());
  if (!status.ok()) CHECK(is_error_with_reason(status));
}

}  // namespace

TEST_CASE("mutations: every change to a model is an error with a reason, or an answer") {
  size_t phase = 0;
  for (const std::string& name : golden_names()) {
    CAPTURE(name);
    const std::optional<GgufBuilder> sound = copy_of_golden(name);
    REQUIRE(sound.has_value());
    if (!open_model(*sound).model.ok()) {
      MESSAGE("skipped: ", name, " does not open: ", open_model(*sound).model.status().to_string());
      continue;
    }
    const std::vector<Mutation> mutations = mutations_of(*sound);
    const size_t step = std::max<size_t>(1, mutations.size() / kCasesOfAModel);
    for (size_t i = phase++ % step; i < mutations.size(); i += step)
      check_mutation(*sound, mutations[i]);
  }
}
