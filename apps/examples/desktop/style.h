// The look: GTK's own, with some room, and two kinds of bubbles.
#pragma once

namespace desktop {

inline constexpr const char* kStyle = R"(
.conversation { padding: 18px 18px 6px 18px; }
.bubble { padding: 9px 14px; border-radius: 14px; }
.bubble.user { background-color: #2f6f73; color: #ffffff; border-bottom-right-radius: 4px; }
.bubble.answer { background-color: alpha(currentColor, 0.07); border-bottom-left-radius: 4px; }
.bubble.thinking { font-style: italic; opacity: 0.65; padding-top: 2px; padding-bottom: 2px; }
.bubble.failure { background-color: alpha(#b3261e, 0.12); color: #8c1d18; }
.placeholder { opacity: 0.55; font-size: 125%; }
.writing { padding: 10px 14px 8px 14px; }
.writing entry { min-height: 38px; border-radius: 19px; padding: 0 16px; }
.writing button { min-height: 38px; min-width: 76px; border-radius: 19px; }
.writing button.suggested-action { background: #2f6f73; border-color: #285f62; }
.status { padding: 0 20px 10px 20px; opacity: 0.65; font-size: 85%; }
.subtitle { opacity: 0.65; font-size: 85%; }
)";

}  // namespace desktop
