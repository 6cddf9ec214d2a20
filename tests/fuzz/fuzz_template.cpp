// Any bytes as a chat template: an error or a text whose inputs are ranges of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/template/chat_template.h"

namespace {

using namespace larder;
using namespace larder::formats;

DataValue message(const char* role, DataValue content) {
  return DataValue::make_dict({{"role", role}, {"content", std::move(content)}});
}

DataValue variables() {
  DataValue call = DataValue::make_dict(
      {{"id", "abcdefghi"},
       {"function",
        DataValue::make_dict(
            {{"name", "f"}, {"arguments", DataValue::make_dict({{"x", 1.5}, {"y", true}})}})}});
  DataValue assistant = message("assistant", DataValue());
  assistant.dict.emplace_back("tool_calls", DataValue::make_list({call}));
  DataValue parts =
      DataValue::make_list({DataValue::make_dict({{"type", "text"}, {"text", "<s>"}})});
  DataValue schema =
      DataValue::make_dict({{"type", "object"}, {"properties", DataValue::make_dict()}});
  DataValue tool = DataValue::make_dict(
      {{"type", "function"},
       {"function",
        DataValue::make_dict({{"name", "f"}, {"description", "d"}, {"parameters", schema}})}});
  return DataValue::make_dict(
      {{"messages",
        DataValue::make_list({message("system", "be \xc3\xa4 kind"),
                              message("user", " <b>Hi\n\n\xf0\x9f\x99\x82 {{x}}\xff "), assistant,
                              message("tool", "21.5"), message("user", parts)})},
       {"tools", DataValue::make_list({tool})},
       {"documents", DataValue()},
       {"add_generation_prompt", true},
       {"bos_token", "<s>"},
       {"eos_token", "</s>"},
       {"n", 7},
       {"f", -2.5}});
}

void check_inputs(const MarkedText& text) {
  size_t end = 0;
  for (const ByteRange& range : text.inputs) {
    if (range.begin >= range.end || range.end > text.text.size() ||
        (end > 0 && range.begin <= end)) {
      std::abort();
    }
    end = range.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const DataValue kVariables = variables();
  static const std::tm kNow = [] {
    std::tm now{};
    now.tm_year = 125;
    now.tm_mon = 6;
    now.tm_mday = 10;
    now.tm_yday = 190;
    now.tm_wday = 4;
    return now;
  }();
  // Lower than the defaults, so that a run takes milliseconds; depth stays.
  const TemplateLimits limits{.source_bytes = 1 << 16,
                              .steps = 20'000,
                              .heap_bytes = 1 << 18,
                              .output_bytes = 1 << 18,
                              .range = 10'000};
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = ChatTemplate::parse(source, limits);
  if (!parsed.ok()) return 0;
  const auto text = (*parsed)->render(kVariables, kNow);
  if (text.ok()) check_inputs(*text);
  return 0;
}
