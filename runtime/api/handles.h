// The other objects of the C library.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/text/tokenizer.h"
#include "runtime/api/larder_batch.h"
#include "runtime/api/object.h"
#include "runtime/api/options.h"
#include "runtime/model/model.h"
#include "runtime/session/chat.h"
#include "runtime/session/engine.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"

namespace larder::runtime {

struct OpenModel {
  std::shared_ptr<const Model> model;
  std::string name;  // what the file calls itself; or empty
};

struct OpenSession {
  std::unique_ptr<Session> session;
  OptionValues options;
};

struct OpenAnswer : Answer {
  std::vector<double> scores;
  bool is_greedy = false;
};

// A sequence's end, taken with all that handing it out needs when the sequence is added.
struct BatchEnd {
  EngineResult result;
  std::unique_ptr<larder_answer> answer;
};

// Invariant: there is a spare end for each sequence that the engine holds.
struct OpenBatch {
  std::unique_ptr<Engine> engine;
  std::list<BatchEnd> spare, finished;
};

struct OpenDecoder {
  std::shared_ptr<const formats::Tokenizer> tokenizer;
  formats::StreamDecoder decoder;
  std::string text;  // that the last call gave out
};

struct OpenSampler {
  std::unique_ptr<Sampler> sampler;
  int32_t n_vocab = 0;
};

inline Outcome no_logits() noexcept {
  return invalid("the session has no logits; append a token first");
}
inline Outcome check_token(const formats::Tokenizer& tokenizer, int32_t token) noexcept {
  return token >= 0 && token < tokenizer.n_vocab() ? Outcome()
                                                   : invalid("no token of the vocabulary");
}
// Of the caller's template, whose bytes are no file's.
inline Outcome given_template_failure(const Status& status) {
  return status.cause() == Cause::utf8 ? Outcome(LARDER_TEMPLATE, status) : Outcome(status);
}
// Of the model's: one without a template is not damaged.
inline Outcome own_template_failure(const Status& status) {
  return status.cause() == Cause::missing ? Outcome(LARDER_TEMPLATE, status) : Outcome(status);
}
// values[which], where the caller has room for it.
inline void put(std::span<int64_t> values, int32_t which, uint64_t value) noexcept {
  if (static_cast<size_t>(which) < values.size())
    values[static_cast<size_t>(which)] = static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX));
}

}  // namespace larder::runtime

struct larder_model
    : larder::runtime::Object<larder::runtime::OpenModel, larder::runtime::Kind::model> {
  using Object::Object;
};
struct larder_session
    : larder::runtime::Object<larder::runtime::OpenSession, larder::runtime::Kind::session> {
  using Object::Object;
};
struct larder_messages : larder::runtime::Object<std::vector<larder::runtime::Message>,
                                                 larder::runtime::Kind::messages> {
  using Object::Object;
};
struct larder_answer
    : larder::runtime::Object<larder::runtime::OpenAnswer, larder::runtime::Kind::answer> {
  using Object::Object;
};
struct larder_sampler
    : larder::runtime::Object<larder::runtime::OpenSampler, larder::runtime::Kind::sampler> {
  using Object::Object;
};
struct larder_decoder
    : larder::runtime::Object<larder::runtime::OpenDecoder, larder::runtime::Kind::decoder> {
  using Object::Object;
};
struct larder_batch
    : larder::runtime::Object<larder::runtime::OpenBatch, larder::runtime::Kind::batch> {
  using Object::Object;
};
