// A conversation in a window, over the installed library:
//   larder-desktop [MODEL.gguf]
// G_MESSAGES_DEBUG=larder-desktop tells when the window is there, the model, and the first word.
#include <gtk/gtk.h>

#include <string>

#include "chat_window.h"
#include "style.h"

namespace {

void load_style() {
  GtkCssProvider* const provider = gtk_css_provider_new();
  gtk_css_provider_load_from_data(provider, desktop::kStyle, -1);
  gtk_style_context_add_provider_for_display(gdk_display_get_default(),
                                             GTK_STYLE_PROVIDER(provider),
                                             GTK_STYLE_PROVIDER_PRIORITY_APPLICATION);
  g_object_unref(provider);
}

void activate(GtkApplication* application, gpointer model_path) {
  load_style();
  desktop::ChatWindow::open(application, *static_cast<const std::string*>(model_path));
}

}  // namespace

int main(int argc, char** argv) {
  g_info("started");
  std::string model_path = argc > 1 ? argv[1] : LARDER_DEFAULT_MODEL;
  GtkApplication* const application =
      gtk_application_new("org.larder.Desktop", G_APPLICATION_NON_UNIQUE);
  g_signal_connect(application, "activate", G_CALLBACK(activate), &model_path);
  // The model's name is this program's own argument.
  const int status = g_application_run(G_APPLICATION(application), 1, argv);
  g_object_unref(application);
  return status;
}
