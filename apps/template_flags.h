// The flags that say how conversations are rendered, and what they give to the template.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "formats/status.h"
#include "formats/template/chat_template.h"
#include "formats/template/value.h"

namespace larder::apps {

struct TemplateFlags {
  std::string file, variables, thinking;
};

void add_template_options(CLI::App& command, TemplateFlags& flags);

// The template of --template, parsed; null where there is none.
Result<std::shared_ptr<const formats::ChatTemplate>> read_template(const TemplateFlags& flags);

// The dict of --chat-template-kwargs; an empty one where there is none.
Result<formats::DataValue> template_variables(const TemplateFlags& flags);

// "auto" is "": the template does as it likes.
std::string thinking_wish(const TemplateFlags& flags);

// On stderr, where the template has no switch for what is wished.
void warn_of_thinking(const formats::ChatTemplate& chat_template, const std::string& wish);

}  // namespace larder::apps
