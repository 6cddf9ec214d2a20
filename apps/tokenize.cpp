// larder tokenize: text to token ids and back.
#include <unistd.h>

#include <memory>
#include <string>

#include "apps/exit_code.h"
#include "apps/job_input.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::SpecialTokens;
using formats::TokenId;
using formats::Tokenizer;

struct TokenizeOptions {
  std::string model;
  std::optional<std::string> prompt, decode;
  bool recognises_special = false, is_jsonl = false, is_json = false;
};

SpecialTokens special_mode(bool recognises) {
  return recognises ? SpecialTokens::recognised : SpecialTokens::as_text;
}

DataValue id_list(const std::vector<TokenId>& ids) {
  DataValue list = DataValue::make_list();
  for (const TokenId id : ids) list.list.emplace_back(int64_t{id});
  return list;
}

std::string comma_separated(const std::vector<TokenId>& ids) {
  std::string line;
  for (const TokenId id : ids) line += (line.empty() ? "" : ",") + std::to_string(id);
  return line;
}

int encode_one(const Tokenizer& tokenizer, const TokenizeOptions& options, Output& output) {
  Result<std::string> text = options.prompt ? Result<std::string>(*options.prompt) : read_file("-");
  if (!text) return fail(text.status());
  std::vector<TokenId> ids;
  if (Status s = tokenizer.encode(*text, special_mode(options.recognises_special), ids); !s.ok()) {
    return fail(s);
  }
  if (!options.is_json) {
    output.write(comma_separated(ids) + "\n");
    return kOk;
  }
  DataValue pieces = DataValue::make_list();
  for (const TokenId id : ids) pieces.list.emplace_back(tokenizer.token_bytes(id, true));
  output.write(to_json(DataValue::make_dict({{"ids", id_list(ids)}, {"tokens", pieces}})) + "\n");
  return kOk;
}

int decode_one(const Tokenizer& tokenizer, const TokenizeOptions& options, Output& output) {
  std::string text = *options.decode;
  if (text == "-") {
    Result<std::string> read = read_file("-");
    if (!read) return fail(read.status());
    text = std::move(*read);
  }
  const auto ids = parse_ids(text);
  if (!ids) return fail(ids.status());
  const auto bytes = tokenizer.decode(*ids, options.recognises_special);
  if (!bytes) {
    complain(bytes.status().to_string());
    return kUsage;  // ids that the vocabulary lacks
  }
  if (options.is_json) {
    output.write(to_json(DataValue::make_dict({{"text", *bytes}})) + "\n");
  } else {
    output.write(*bytes);
    if (isatty(output.descriptor()) == 1) output.write("\n");
  }
  return kOk;
}

// {"text", "special"} to {"ids"}; "special" may be absent.
Result<std::string> encode_line(const Tokenizer& tokenizer, const std::string& line,
                                bool recognises_special) {
  const Result<DataValue> object = formats::parse_json(line);
  if (!object) return object.status();
  const DataValue* const text = object->find("text");
  if (text == nullptr || text->kind != DataValue::Kind::string) {
    return Status(Cause::value_type, "must be a string", "\"text\"");
  }
  if (const DataValue* const special = object->find("special")) {
    recognises_special = special->kind == DataValue::Kind::boolean && special->boolean;
  }
  std::vector<TokenId> ids;
  if (Status s = tokenizer.encode(text->string, special_mode(recognises_special), ids); !s.ok()) {
    return s;
  }
  return to_json(DataValue::make_dict({{"ids", id_list(ids)}}));
}

int encode_lines(const Tokenizer& tokenizer, const TokenizeOptions& options, Output& output) {
  auto lines = LineReader::open("-", kMostFileBytes);
  if (!lines) return fail(lines.status());
  InputLine line;
  while (!is_ending()) {
    const auto found = lines->next(line, true);
    if (!found) return fail(found.status());
    if (*found == LineReader::Found::end) return kOk;
    if (*found == LineReader::Found::nothing_yet || line.text.empty()) continue;
    const auto encoded =
        line.is_too_long
            ? Result<std::string>(Status(
                  Cause::limit, "is longer than " + std::to_string(kMostFileBytes >> 20) + " MiB"))
            : encode_line(tokenizer, line.text, options.recognises_special);
    if (!encoded) {
      complain("stdin line " + std::to_string(line.number) + ": " + encoded.status().to_string());
      return kFailure;
    }
    if (!output.write(*encoded + "\n")) return kOk;
  }
  return fail(Status(Cause::cancelled, "interrupted"));
}

int run_tokenize(const TokenizeOptions& options) {
  const auto vocabulary = load_vocabulary(options.model);
  if (!vocabulary) return fail_model(vocabulary.status());
  const Tokenizer& tokenizer = *vocabulary->tokenizer;
  Output output = Output::standard();
  const int code = options.is_jsonl ? encode_lines(tokenizer, options, output)
                   : options.decode ? decode_one(tokenizer, options, output)
                                    : encode_one(tokenizer, options, output);
  if (Status s = output.finish(); !s.ok()) return fail(s);
  return code;
}

}  // namespace

void add_tokenize(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand("tokenize", "Text to token ids and back");
  auto options = std::make_shared<TokenizeOptions>();
  add_model_option(command, options->model);
  auto* const prompt = command.add_option("-p,--prompt", options->prompt,
                                          "The text (default: standard input, to its last byte)");
  prompt->type_name("TEXT");
  auto* const decode = command.add_option("--decode", options->decode,
                                          "Token ids, separated by commas, to bytes; - is stdin");
  decode->type_name("IDS")->excludes(prompt);
  command
      .add_flag("--jsonl", options->is_jsonl,
                "{\"text\", \"special\"} a line on stdin to {\"ids\"} a line")
      ->excludes(prompt)
      ->excludes(decode);
  command.add_flag("--special", options->recognises_special,
                   "Recognise control tokens in the text; show them when decoding");
  command.add_flag("--json", options->is_json, "One JSON object on stdout");
  command.callback([options, &run] { run = [options] { return run_tokenize(*options); }; });
}

}  // namespace larder::apps
