// A conversation at the console, over the installed library:
//   cc console_chat.c $(pkg-config --cflags --libs larder) && ./a.out model.gguf
// Ctrl-C stops an answer; the end of input ends the program.
#include <larder.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static larder_session* running;

// larder_session_cancel() takes no lock: signal handlers may call it.
static void stop_answer(int signal_number) {
  (void)signal_number;
  larder_session_cancel(running);
}

static larder_flow show(void* user, int32_t part, const char* text, size_t n_bytes) {
  (void)user;
  if (part == LARDER_PART_ANSWER) {
    fwrite(text, 1, n_bytes, stdout);
    fflush(stdout);
  }
  return LARDER_CONTINUE;
}

static int failed(larder_error* error) {
  fprintf(stderr, "%s\n", larder_error_message(error));
  larder_error_free(error);
  return 1;
}

int main(int argc, char** argv) {
  larder_error* error = NULL;
  larder_model* model = NULL;
  larder_messages* messages = NULL;
  char line[4096];
  if (argc != 2) return fprintf(stderr, "usage: console_chat MODEL.gguf\n"), 2;
  if (larder_model_open(argv[1], strlen(argv[1]), NULL, &model, &error) ||
      larder_session_open(model, NULL, &running, &error) || larder_messages_new(&messages, &error))
    return failed(error);
  signal(SIGINT, stop_answer);

  while (printf("> "), fflush(stdout), fgets(line, sizeof line, stdin)) {
    larder_answer* answer = NULL;
    size_t n_before = 0;
    larder_messages_count(messages, &n_before, NULL);
    if (larder_messages_add(messages, "user", 4, line, strcspn(line, "\n"), &error))
      return failed(error);
    if (larder_session_chat(running, messages, NULL, show, NULL, &answer, &error)) {
      failed(error);  // of this message alone: it is taken back
      larder_messages_truncate(messages, n_before, NULL);
      continue;
    }
    printf("\n");
    if (larder_messages_add_answer(messages, answer, &error)) return failed(error);
    larder_answer_free(answer);
  }
  larder_messages_free(messages);
  larder_session_close(running);
  return larder_model_close(model);
}
