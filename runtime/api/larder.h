// larder: runs quantized mixture-of-experts language models on ordinary CPUs. C99, and valid C++.
//
// 1. Results. Every call that can fail returns a larder_status; what it makes comes through
//    pointers, and is null, 0 or empty after a failure; what it was to write into buffers of the
//    caller's is then not to be read. `error` may be null; otherwise *error is overwritten: null
//    after success, else an error of the caller's, to be freed by larder_error_free().
// 2. Ownership. What ..._open, _new, _copy or an out-parameter T** gives is the caller's, to be
//    closed or freed by the function of its name; memory, by larder_free(). A `const` pointer that
//    comes out is borrowed: it lives until the object it came from is closed, freed or changed.
//    Closing and freeing null does nothing. Arguments are copied; none is kept beyond a call, but
//    the functions and `user` pointers of options.
// 3. Strings are UTF-8, pointer and length in bytes; a pointer may be null where the length is 0.
//    Those that come out have a NUL behind them, which the length does not count. Bytes that are no
//    UTF-8 are kept in texts and messages, and refused in JSON and templates. Paths are the system's.
// 4. Threads. Any function may be called on any thread. Models are immutable: any number of threads
//    may use one at once. Sessions, samplers, decoders and batches take one call at a time; another
//    at the same time, or from inside a callback, answers LARDER_BUSY. Options, messages, answers
//    and errors may be read by several threads while none changes or frees them. Functions named
//    ..._cancel() may be called at any time, from every thread. Callers need 256 KiB of stack, and
//    2 MiB where they render templates.
// 5. Closing. No thread may be inside of a call with what is closed; a session or batch that is in
//    one, as inside of callbacks, stays open: LARDER_BUSY. It keeps what it needs of its model,
//    which may be closed first. Use after closing is found in debug builds: LARDER_CLOSED.
// 6. The library never prints, exits, aborts, installs a signal handler, reads the environment, or
//    keeps state outside of these objects. Of a mapped model file that others cut short while it is
//    used the system tells by SIGBUS, which is the program's to handle.
// 7. Stability. Within one larder_abi_version() functions and values only come to this header.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct larder_error larder_error;
typedef struct larder_options larder_options;
typedef struct larder_model larder_model;
typedef struct larder_session larder_session;
typedef struct larder_messages larder_messages;
typedef struct larder_answer larder_answer;
typedef struct larder_sampler larder_sampler;
typedef struct larder_decoder larder_decoder;

const char* larder_version(void);  // "0.1.0"
int32_t larder_abi_version(void);  // 1
void larder_free(void* memory);

// --- Errors ---

typedef int32_t larder_status;
enum {
  LARDER_OK = 0,
  LARDER_INVALID_ARGUMENT = 1,  // the caller's mistake: null, out of range, in the wrong order
  LARDER_CLOSED = 2,            // closed already, or no object of this kind
  LARDER_BUSY = 3,              // another call uses this object
  LARDER_CANCELLED = 4,
  LARDER_OUT_OF_MEMORY = 5,
  LARDER_OVER_BUDGET = 6,  // does not fit LARDER_OPTION_RAM_BYTES, or what is free
  LARDER_IO = 7,           // the operating system refused
  LARDER_CORRUPT = 8,      // not a file of the expected kind, or damaged
  LARDER_UNSUPPORTED = 9,  // understood, but not implemented
  LARDER_TEMPLATE = 10,    // the chat template is absent, malformed, or refuses the messages
  LARDER_CONTEXT_FULL = 11,
  LARDER_NUMERIC = 12,   // a number that is not finite where one must be
  LARDER_MISMATCH = 13,  // state of another model, or a file that changed meanwhile
  LARDER_INTERNAL = 14,  // a defect of the library, or an exception thrown by a callback
  LARDER_NO_ROOM = 15    // the batch holds as much as it can: step, and take
};
const char* larder_status_message(larder_status status);  // a sentence that is always there

larder_status larder_error_status(const larder_error* error);  // null: LARDER_OK
// One line for people: file, key or tensor, what is wrong, and what to do where that is known.
const char* larder_error_message(const larder_error* error);
const char* larder_error_cause(const larder_error* error);  // finer: "duplicate_key", "shape", ...
void larder_error_free(larder_error* error);

// --- Options: of models, sessions and generation, in one object. What is not set has its default.

typedef int32_t larder_option;
enum {
  // Of sessions. Integers:
  LARDER_OPTION_CONTEXT_SIZE = 1,  // tokens; 0: the model's own, 8192 at most
  LARDER_OPTION_EXACT = 2,         // 1: float32 activations and cache, slower
  LARDER_OPTION_THREADS = 3,       // 0: the machine's cores, fewer for a small model
  LARDER_OPTION_BATCH_SIZE = 4,    // tokens of one prefill step; 512
  LARDER_OPTION_RAM_BYTES = 5,     // of the whole process; 0: what is comfortable; -1: no limit
  // Texts:
  LARDER_OPTION_CACHE_TYPE_K = 20,    // "f16", "f32", "q8_0"
  LARDER_OPTION_CACHE_TYPE_V = 21,    // the same
  LARDER_OPTION_ISA = 22,             // instruction set by name; empty: the best
  LARDER_OPTION_PROFILE_FOLDER = 23,  // where the use of paged experts is kept; empty: nowhere

  // Of generation. Defaults are the model file's own (general.sampling.*), or else these. Integers:
  LARDER_OPTION_SEED = 40,           // 0; same seed, options and tokens: same answer
  LARDER_OPTION_TOP_K = 41,          // 40; 0: off
  LARDER_OPTION_REPEAT_LAST_N = 42,  // 64; -1: the whole context
  LARDER_OPTION_MAX_TOKENS = 43,     // -1: until the context is full
  LARDER_OPTION_IGNORE_END = 44,     // 1: go on after tokens that end a generation
  LARDER_OPTION_SHOW_CONTROL = 45,   // 1: control tokens appear in the text
  // Reals:
  LARDER_OPTION_TEMPERATURE = 60,     // 0.8; 0: the likeliest token
  LARDER_OPTION_TOP_P = 61,           // 0.95; 1: off
  LARDER_OPTION_MIN_P = 62,           // 0.05; 0: off
  LARDER_OPTION_TYPICAL_P = 63,       // 1: off
  LARDER_OPTION_REPEAT_PENALTY = 64,  // 1: off
  LARDER_OPTION_PRESENCE_PENALTY = 65,
  LARDER_OPTION_FREQUENCY_PENALTY = 66,
  // Texts:
  LARDER_OPTION_STOP = 80,      // each set adds one; the text is cut before the first of them
  LARDER_OPTION_THINKING = 81,  // "on", "off" or a level the template knows; empty: as it likes
  LARDER_OPTION_TEMPLATE = 82,  // a chat template (Jinja) instead of the model's own
  LARDER_OPTION_TOOLS = 83,     // JSON: a list of functions, as in OpenAI's API
  LARDER_OPTION_VARIABLES = 84  // JSON: an object of further variables that the template sees
};

typedef int32_t larder_flow;  // what callbacks answer; other values mean LARDER_CANCEL
enum { LARDER_CONTINUE = 0, LARDER_STOP = 1, LARDER_CANCEL = 2 };

// Callbacks run on the thread that made the call, and must not throw.
// Bytes of weights loaded, or tokens of a prompt computed: first 0. The last value may be told more
// than once; until the call returns it can be cancelled. LARDER_STOP cancels, too.
typedef larder_flow (*larder_progress_fn)(void* user, uint64_t done, uint64_t total);
enum { LARDER_LOG_INFO = 0, LARDER_LOG_WARNING = 1 };
typedef void (*larder_log_fn)(void* user, int32_t level, const char* text, size_t n_bytes);

larder_status larder_options_new(larder_options** options, larder_error** error);
void larder_options_free(larder_options* options);
larder_status larder_options_set_integer(larder_options* options, larder_option option,
                                         int64_t value, larder_error** error);
larder_status larder_options_set_real(larder_options* options, larder_option option, double value,
                                      larder_error** error);
larder_status larder_options_set_text(larder_options* options, larder_option option,
                                      const char* text, size_t n_bytes, larder_error** error);
// Null: nobody is told. Sessions keep both of these and call them until they are closed.
larder_status larder_options_set_progress(larder_options* options, larder_progress_fn progress,
                                          void* user, larder_error** error);
larder_status larder_options_set_log(larder_options* options, larder_log_fn log, void* user,
                                     larder_error** error);

// --- Models ---

// Reads the header and maps the file. Calls progress between its steps, and log. options: or null.
larder_status larder_model_open(const char* path, size_t n_path, const larder_options* options,
                                larder_model** model, larder_error** error);
larder_status larder_model_close(larder_model* model);

enum {
  LARDER_MODEL_N_VOCAB = 1,
  LARDER_MODEL_CONTEXT_LENGTH = 2,  // trained; 0: the file does not say
  LARDER_MODEL_N_LAYERS = 3,
  LARDER_MODEL_N_EXPERTS = 4,  // of a layer; 0: dense
  LARDER_MODEL_N_ACTIVE = 5,
  LARDER_MODEL_FILE_BYTES = 6,
  LARDER_MODEL_BOS = 7,  // token ids; -1: none
  LARDER_MODEL_EOS = 8,
  LARDER_MODEL_HAS_ENCODER = 9,
  LARDER_MODEL_HAS_TEMPLATE = 10,
  LARDER_MODEL_DECODER_START = 11  // behind an encoder, an answer begins with this token
};
larder_status larder_model_number(const larder_model* model, int32_t which, int64_t* value,
                                  larder_error** error);
enum { LARDER_MODEL_ARCHITECTURE = 1, LARDER_MODEL_NAME = 2, LARDER_MODEL_TEMPLATE = 3 };
// Empty where the file has none. Borrowed from the model.
larder_status larder_model_text(const larder_model* model, int32_t which, const char** text,
                                size_t* n_bytes, larder_error** error);
larder_status larder_model_is_end(const larder_model* model, int32_t token, int32_t* is_end,
                                  larder_error** error);

enum {
  LARDER_MEMORY_TOTAL = 0,
  LARDER_MEMORY_PROGRAM = 1,
  LARDER_MEMORY_DENSE = 2,        // weights that every token needs
  LARDER_MEMORY_CACHE = 3,        // keys and values of the whole context
  LARDER_MEMORY_BUFFERS = 4,      // of the forward pass
  LARDER_MEMORY_EXPERTS = 5,      // weights of experts that are kept in memory
  LARDER_MEMORY_ALL_EXPERTS = 6,  // that the model has
  LARDER_MEMORY_LEAST = 7,        // below this LARDER_OPTION_RAM_BYTES is refused
  LARDER_MEMORY_IS_PAGED = 8      // 1: experts are read while tokens ask for them
};
// What a session with these options would take, before it takes it: bytes[which], as many as the
// caller has room for; what this library does not know becomes 0.
larder_status larder_model_estimate(const larder_model* model, const larder_options* options,
                                    int64_t* bytes, size_t n_values, larder_error** error);
// The same of a file that is not open; it is opened for that, with progress and log.
larder_status larder_estimate(const char* path, size_t n_path, const larder_options* options,
                              int64_t* bytes, size_t n_values, larder_error** error);

// --- Text and tokens ---

enum {
  LARDER_TOKENIZE_SPECIAL = 1,  // control tokens are recognised in the text
  LARDER_TOKENIZE_BEGIN = 2     // the token that begins a text comes first, where the model has one
};
// flags: a sum of the above. *ids: free by larder_free().
larder_status larder_model_tokenize(const larder_model* model, const char* text, size_t n_bytes,
                                    int32_t flags, int32_t** ids, size_t* n_ids,
                                    larder_error** error);
// A whole text. *text: free by larder_free(); it may be no UTF-8 if the tokens are not.
larder_status larder_model_detokenize(const larder_model* model, const int32_t* ids, size_t n_ids,
                                      int32_t shows_control, char** text, size_t* n_bytes,
                                      larder_error** error);

// Token after token; text comes in whole UTF-8 characters, borrowed until the next call.
larder_status larder_decoder_new(const larder_model* model, int32_t is_at_start,
                                 int32_t shows_control, larder_decoder** decoder,
                                 larder_error** error);
void larder_decoder_free(larder_decoder* decoder);
larder_status larder_decoder_push(larder_decoder* decoder, int32_t token, const char** text,
                                  size_t* n_bytes, larder_error** error);
// What was held back of a character that never ended, as it is.
larder_status larder_decoder_finish(larder_decoder* decoder, const char** text, size_t* n_bytes,
                                    larder_error** error);

// A conversation. Roles as in templates: "system", "user", "assistant", "tool".
larder_status larder_messages_new(larder_messages** messages, larder_error** error);
void larder_messages_free(larder_messages* messages);
larder_status larder_messages_add(larder_messages* messages, const char* role, size_t n_role,
                                  const char* content, size_t n_content, larder_error** error);
// JSON: a message as in OpenAI's API, or a list of them; fields beyond those that larder knows
// (tool_calls, tool_call_id, name, ...) are for the template. All are added, or none.
larder_status larder_messages_add_json(larder_messages* messages, const char* json, size_t n_bytes,
                                       larder_error** error);
// The assistant's, with its thinking and its calls.
larder_status larder_messages_add_answer(larder_messages* messages, const larder_answer* answer,
                                         larder_error** error);
larder_status larder_messages_count(const larder_messages* messages, size_t* n,
                                    larder_error** error);
// Forgets all but the first n.
larder_status larder_messages_truncate(larder_messages* messages, size_t n, larder_error** error);

// What the template makes of the messages, up to where the assistant answers. Free by
// larder_free(). Tokenizing this text would let control tokens in that users spelled; use
// larder_model_prompt() to get ids.
larder_status larder_model_apply_template(const larder_model* model,
                                          const larder_messages* messages,
                                          const larder_options* options, char** text,
                                          size_t* n_bytes, larder_error** error);
larder_status larder_model_prompt(const larder_model* model, const larder_messages* messages,
                                  const larder_options* options, int32_t** ids, size_t* n_ids,
                                  larder_error** error);

// --- Sessions: tokens so far, their cache, the next logits ---

// Takes all memory that it will ever need. Where weights are loaded (LARDER_MEMORY_IS_PAGED),
// progress is called with bytes.
larder_status larder_session_open(const larder_model* model, const larder_options* options,
                                  larder_session** session, larder_error** error);
larder_status larder_session_close(larder_session* session);

// The running call, or else the next one, answers LARDER_CANCELLED soon; the session stays usable
// and holds what was done. Takes no lock; from signal handlers, too. Null is ignored.
void larder_session_cancel(larder_session* session);
// Takes back what no call has answered yet.
void larder_session_forget_cancel(larder_session* session);

// Appends tokens; afterwards logits belong to the last. Calls progress. After LARDER_CANCELLED the
// session holds those that were done; after LARDER_CONTEXT_FULL what it held.
larder_status larder_session_prefill(larder_session* session, const int32_t* ids, size_t n_ids,
                                     larder_error** error);
larder_status larder_session_step(larder_session* session, int32_t token, larder_error** error);
// Keeps the beginning that is the same, forgets the rest, appends what is new. n_reused: or null.
larder_status larder_session_continue_as(larder_session* session, const int32_t* ids, size_t n_ids,
                                         size_t* n_reused, larder_error** error);
// Of a model with an encoder: reads a source, and forgets all tokens.
larder_status larder_session_encode(larder_session* session, const int32_t* ids, size_t n_ids,
                                    larder_error** error);
// Forgets all tokens from n_tokens on. *n_left (or null): fewer where the model carries states, or
// has windows, and does not hold any more what it needs there; append again from there.
larder_status larder_session_rewind(larder_session* session, size_t n_tokens, size_t* n_left,
                                    larder_error** error);

// Borrowed until the session's next call.
larder_status larder_session_tokens(const larder_session* session, const int32_t** ids,
                                    size_t* n_ids, larder_error** error);
// [n_vocab], of the last token. LARDER_INVALID_ARGUMENT where there are none: before the first
// token, after rewinding, an error or a cancellation.
larder_status larder_session_logits(const larder_session* session, const float** logits,
                                    size_t* n_vocab, larder_error** error);
// Natural logarithms of softmax(logits), into the caller's logprobs[n_vocab].
larder_status larder_session_logprobs(const larder_session* session, float* logprobs,
                                      size_t n_vocab, larder_error** error);
// Of every token of `continuation` behind `context`, into logprobs[n_continuation]; is_greedy (or
// null): 1 if each was the likeliest. Both have at least one token. What the session held before is
// used where it is the beginning of context.
larder_status larder_session_score(larder_session* session, const int32_t* context,
                                   size_t n_context, const int32_t* continuation,
                                   size_t n_continuation, double* logprobs, int32_t* is_greedy,
                                   larder_error** error);

// --- Saving and copying ---

// Tokens, cache and logits, with the model's fingerprint and a check sum. Restoring needs the same
// model file and cache types, and room in the context; LARDER_MISMATCH, LARDER_CORRUPT and
// LARDER_CONTEXT_FULL leave what is held, or where damage is found late, nothing.
larder_status larder_session_saved_bytes(const larder_session* session, size_t* n_bytes,
                                         larder_error** error);
// *n_written is what was written, or with LARDER_INVALID_ARGUMENT what a larger buffer must have.
larder_status larder_session_save(const larder_session* session, void* buffer, size_t n_bytes,
                                  size_t* n_written, larder_error** error);
larder_status larder_session_restore(larder_session* session, const void* buffer, size_t n_bytes,
                                     larder_error** error);
// Appears whole or not at all, readable by its owner alone.
larder_status larder_session_save_file(const larder_session* session, const char* path,
                                       size_t n_path, larder_error** error);
larder_status larder_session_restore_file(larder_session* session, const char* path, size_t n_path,
                                          larder_error** error);
// From where the descriptor stands, which stays open; a pipe or socket must be blocking, and of one
// that nobody reads the system tells by SIGPIPE, unless the program ignores that.
larder_status larder_session_save_descriptor(const larder_session* session, int descriptor,
                                             larder_error** error);
larder_status larder_session_restore_descriptor(larder_session* session, int descriptor,
                                                larder_error** error);
// Another session with the same model, options and tokens: with a cache and buffers of its own, the
// weights are shared, in memory once. Where experts are read when they are needed, both read them
// into the same memory, and calls that compute take turns.
larder_status larder_session_copy(const larder_session* session, larder_session** copy,
                                  larder_error** error);

// --- Generating ---

enum { LARDER_PART_ANSWER = 0, LARDER_PART_THINKING = 1, LARDER_PART_CALL = 2 };
// A piece of what the model writes, in whole UTF-8 characters, valid during the call only.
typedef larder_flow (*larder_text_fn)(void* user, int32_t part, const char* text, size_t n_bytes);

// Goes on from the session's logits. text: or null. answer: or null. A cancellation is no failure
// here: the answer says so by LARDER_REASON_CANCELLED. The session then holds every token but the
// last.
larder_status larder_session_generate(larder_session* session, const larder_options* options,
                                      larder_text_fn text, void* user, larder_answer** answer,
                                      larder_error** error);
// Answers a conversation, by the model's template; of what the session holds, the beginning that is
// the same is not computed again. LARDER_CANCELLED: before the answer began.
larder_status larder_session_chat(larder_session* session, const larder_messages* messages,
                                  const larder_options* options, larder_text_fn text, void* user,
                                  larder_answer** answer, larder_error** error);

enum {
  LARDER_REASON_END = 0,   // the model ended it
  LARDER_REASON_STOP = 1,  // a stop text, or the callback
  LARDER_REASON_LENGTH = 2,
  LARDER_REASON_CONTEXT_FULL = 3,
  LARDER_REASON_CANCELLED = 4
};
enum {
  LARDER_ANSWER_REASON = 1,
  LARDER_ANSWER_N_TOKENS = 2,
  LARDER_ANSWER_N_CALLS = 3,
  LARDER_ANSWER_N_PROMPT = 4,  // tokens,
  LARDER_ANSWER_N_REUSED = 5,  // of which the session held so many
  LARDER_ANSWER_PROMPT_US = 6,
  LARDER_ANSWER_US = 7
};
void larder_answer_free(larder_answer* answer);
larder_status larder_answer_number(const larder_answer* answer, int32_t which, int64_t* value,
                                   larder_error** error);
// part: LARDER_PART_ANSWER or _THINKING. Borrowed from the answer, as are the following.
larder_status larder_answer_text(const larder_answer* answer, int32_t part, const char** text,
                                 size_t* n_bytes, larder_error** error);
// Each of the pointers may be null. logprobs: under the model's own distribution.
larder_status larder_answer_tokens(const larder_answer* answer, const int32_t** ids,
                                   const float** logprobs, size_t* n_tokens, larder_error** error);
// name, arguments (mostly JSON): NUL-terminated.
larder_status larder_answer_call(const larder_answer* answer, size_t index, const char** name,
                                 const char** arguments, larder_error** error);

// For loops of one's own: larder_session_logits(), sample, larder_session_step(), ...
larder_status larder_sampler_new(const larder_model* model, const larder_options* options,
                                 larder_sampler** sampler, larder_error** error);
void larder_sampler_free(larder_sampler* sampler);
// logprob: or null.
larder_status larder_sampler_sample(larder_sampler* sampler, const larder_session* session,
                                    int32_t* token, float* logprob, larder_error** error);

// --- Statistics ---

enum {
  LARDER_STATISTIC_N_TOKENS = 0,  // held now
  LARDER_STATISTIC_CONTEXT_SIZE = 1,
  LARDER_STATISTIC_THREADS = 2,
  LARDER_STATISTIC_BYTES = 3,      // of cache and buffers
  LARDER_STATISTIC_RAM_BYTES = 4,  // with the model, as estimated
  LARDER_STATISTIC_IS_PAGED = 5,
  // Of paged experts, since the session was opened:
  LARDER_STATISTIC_EXPERT_HITS = 6,
  LARDER_STATISTIC_EXPERT_MISSES = 7,
  LARDER_STATISTIC_EXPERT_READS = 8,
  LARDER_STATISTIC_BYTES_READ = 9,
  LARDER_STATISTIC_WAIT_US = 10  // computing stood still for reads
};
// values[which], as many as the caller has room for; what this library does not know becomes 0.
larder_status larder_session_statistics(const larder_session* session, int64_t* values,
                                        size_t n_values, larder_error** error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
