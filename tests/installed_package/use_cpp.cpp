// larder.hpp as a program uses it: with exceptions where the compiler has them, and by asking.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <larder_batch.hpp>
#include <string>
#include <thread>

namespace {

int n_failed = 0;

void check(bool is_so, const char* what) {
  if (is_so) return;
  std::fprintf(stderr, "failed: %s\n", what);
  ++n_failed;
}

// By asking.
int converse(const char* path) {
  auto options = larder::Options::make();
  if (!options) return 1;
  check(options->set(LARDER_OPTION_TEMPERATURE, 0.0).ok(), "temperature");
  check(options->set(LARDER_OPTION_MAX_TOKENS, 30).ok(), "max tokens");
  check(options->set(LARDER_OPTION_TOP_P, 7.0).status() == LARDER_INVALID_ARGUMENT, "range");
  check(larder::Model::open("/nowhere").status() == LARDER_IO, "no file");
  int n_progress = 0;
  check(options
            ->on_progress([&](uint64_t, uint64_t) -> larder_flow {
              ++n_progress;
              return LARDER_CONTINUE;
            })
            .ok(),
        "progress");
  auto model = larder::Model::open(path, &*options);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message.c_str()), 1;
  auto session = larder::Session::open(*model, &*options);
  auto messages = larder::Messages::make();
  if (!session || !messages) return 1;
  check(messages->add_json("{\"role\": \"user\", \"content\": \"Hello!\"}").ok(), "add");
  std::string streamed;
  auto answer = session->chat(*messages, &*options, [&](int32_t, std::string_view text) {
    streamed += text;
    return LARDER_CONTINUE;
  });
  if (!answer) return std::fprintf(stderr, "%s\n", answer.error().message.c_str()), 1;
  check(!streamed.empty() && answer->text() == streamed, "streamed");
  check(answer->number(LARDER_ANSWER_N_TOKENS) == static_cast<int64_t>(answer->tokens().size()),
        "tokens");
  check(messages->add(*answer).ok() && messages->size() == 2, "add answer");
  check(n_progress > 2, "told");

  const auto ids = model->tokenize("Once upon a time", LARDER_TOKENIZE_BEGIN);
  check(ids && model->detokenize(*ids).ok(), "detokenize");
  check(session->continue_as(*ids).ok(), "continue");
  auto copy = session->copy();
  check(copy && *copy->logits() == *session->logits(), "copy");
  const auto scores = session->score({ids->front()}, larder::Tokens(ids->begin() + 1, ids->end()));
  check(scores && scores->size() == ids->size() - 1 && std::isfinite(scores->front()), "score");
  auto sampler = larder::Sampler::make(*model, &*options);
  auto decoder = larder::Decoder::make(*model);
  check(sampler && decoder, "sampler, decoder");
  const auto token = sampler->sample(*session);
  check(token && decoder->push(*token).ok() && decoder->finish().ok(), "a loop of one's own");
  auto batch = larder::Batch::open(*model, &*options);
  check(batch && batch->generate(5, *ids, &*options).ok(), "batch");
  for (size_t n_held = 1; n_held > 0;) n_held = *batch->step();
  const auto finished = batch->take();
  check(finished && finished->tag == 5 && finished->answer.ok(), "finished");
  check(!batch->take() && larder::scores(*finished->answer).empty(), "taken");
  session->cancel();
  check(session->step(1).status() == LARDER_CANCELLED, "cancel");
  check(session->step(1).ok(), "after cancel");
  check(model->estimate().ok() && session->statistics().ok(), "numbers");
  return 0;
}

#ifdef __cpp_exceptions
// Sessions of the same options: each call throws what its own callback threw.
void throw_on_two_threads(const larder::Model& model) {
  auto options = larder::Options::make().value();
  thread_local int number = 0;
  options
      .on_progress([](uint64_t, uint64_t) -> larder_flow {
        if (number == 0) return LARDER_CONTINUE;
        throw number;
      })
      .value();
  std::atomic<int> n_own{0};
  const auto work = [&](int own) {
    auto session = larder::Session::open(model, &options).value();
    number = own;
    for (int i = 0; i < 50; ++i) {
      try {
        (void)session.prefill({1, 2, 3});
      } catch (int caught) {
        n_own += caught == own ? 1 : 0;
      }
    }
  };
  std::thread other(work, 1);
  work(2);
  other.join();
  check(n_own == 100, "each its own");
}

void throw_and_catch(const char* path) {
  try {
    larder::Model::open("/nowhere").value();
    check(false, "throws");
  } catch (const larder::Exception& error) {
    check(error.status() == LARDER_IO && error.error().cause == "io", "what it says");
  }
  auto model = larder::Model::open(path).value();
  auto session = larder::Session::open(model).value();
  auto messages = larder::Messages::make().value();
  messages.add("user", "Hello!").value();
  try {
    (void)session.chat(messages, nullptr, [](int32_t, std::string_view) -> larder_flow {
      throw std::runtime_error("from a callback");
    });
    check(false, "comes out");
  } catch (const std::runtime_error& error) {
    check(std::string(error.what()) == "from a callback", "the same");
  }
  check(session.chat(messages).ok(), "goes on");
  throw_on_two_threads(model);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (const int failed = converse(argv[1])) return failed;
#ifdef __cpp_exceptions
  throw_and_catch(argv[1]);
#endif
  if (n_failed == 0) std::puts("ok");
  return n_failed == 0 ? 0 : 1;
}
