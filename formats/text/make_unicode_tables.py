#!/usr/bin/env python3
"""Writes unicode_tables.cpp from two tables of Unicode facts.

usage: make_unicode_tables.py unicode_ranges.tsv unicode_nfc.tsv > unicode_tables.cpp

unicode_ranges.tsv: class, first, last (hex). General categories of Unicode 16.
unicode_nfc.tsv: "decomp", code point, full canonical decomposition, composes|excluded; and "ccc",
code point, combining class. Unicode 9, which is what the tokenizers' libraries normalise with.
"""
import sys

N_CODE_POINTS = 0x110000
BLOCK = 128
# Order of enum class CharClass.
CLASSES = ["other", "space", "N", "M", "P", "S", "Lu", "Ll", "Lt", "Lm", "Lo"]
STARTER_THAT_CHANGES = 255


def read_classes(path):
    table = bytearray(N_CODE_POINTS)
    for line in open(path):
        name, first, last = line.split()
        if name in CLASSES:
            for c in range(int(first, 16), int(last, 16) + 1):
                assert table[c] == 0, hex(c)
                table[c] = CLASSES.index(name)
    return table


def read_nfc(path):
    combining, full, composes = {}, {}, set()
    for line in open(path):
        fields = line.rstrip("\n").split("\t")
        if fields[0] == "ccc":
            combining[int(fields[1], 16)] = int(fields[2])
        elif fields[0] == "decomp":
            code_point = int(fields[1], 16)
            full[code_point] = tuple(int(x, 16) for x in fields[2].split())
            if fields[3] == "composes":
                composes.add(code_point)
    return combining, full, composes


def composition_pairs(full, composes):
    by_decomposition = {full[c]: c for c in composes}
    pairs = {}
    for c in sorted(composes):
        head, second = full[c][:-1], full[c][-1]
        first = head[0] if len(head) == 1 else by_decomposition[head]
        pairs[(first, second)] = c
    return pairs


def nfc_classes(combining, full, composes, pairs):
    table = bytearray(N_CODE_POINTS)
    for c in full:
        if c not in composes:
            table[c] = STARTER_THAT_CHANGES
    for _, second in pairs:
        table[second] = STARTER_THAT_CHANGES
    for c in list(range(0x1161, 0x1176)) + list(range(0x11A8, 0x11C3)):  # Hangul vowels, finals
        table[c] = STARTER_THAT_CHANGES
    for c, value in combining.items():
        if value:
            table[c] = value
    return table


def two_stage(table):
    blocks, first_stage = {}, []
    for at in range(0, N_CODE_POINTS, BLOCK):
        block = bytes(table[at:at + BLOCK])
        first_stage.append(blocks.setdefault(block, len(blocks)))
    return first_stage, b"".join(blocks)


def emit(declaration, values, form=str):
    print(f"{declaration} = {{")
    line = "   "
    for value in values:
        text = f" {form(value)},"
        if len(line) + len(text) > 100:
            print(line)
            line = "   "
        line += text
    print(line)
    print("};\n")


def main():
    classes = read_classes(sys.argv[1])
    combining, full, composes = read_nfc(sys.argv[2])
    pairs = composition_pairs(full, composes)
    print("// Written by make_unicode_tables.py; do not edit.")
    print("// clang-format off")
    print('#include "formats/text/unicode_tables.h"\n')
    print("namespace larder::formats::unicode_tables {\n")
    for name, table in (("kClass", classes), ("kNfc", nfc_classes(combining, full, composes, pairs))):
        first, second = two_stage(table)
        form = "uint8_t" if max(first) < 256 else "uint16_t"
        assert form == "uint8_t"
        emit(f"const {form} {name}Block[{len(first)}]", first)
        emit(f"const uint8_t {name}[{len(second)}]", second)
    rows = sorted(full)
    texts, at = [], [0]
    for c in rows:
        texts += full[c]
        at.append(len(texts))
    hexa = lambda v: f"0x{v:X}"
    print(f"const size_t kNDecompositions = {len(rows)};")
    emit(f"const uint32_t kDecomposed[{len(rows)}]", rows, hexa)
    emit(f"const uint16_t kDecompositionAt[{len(at)}]", at)
    emit(f"const uint32_t kDecomposition[{len(texts)}]", texts, hexa)
    print(f"const size_t kNCompositions = {len(pairs)};")
    emit(f"const Composition kComposition[{len(pairs)}]", sorted(pairs.items()),
         lambda p: f"{{{p[0][0]:#x}, {p[0][1]:#x}, {p[1]:#x}}}")
    print("}  // namespace larder::formats::unicode_tables")


main()
