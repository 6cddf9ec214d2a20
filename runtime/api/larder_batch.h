// Many sequences in one pass over the weights, for throughput. What comes out does not depend on
// what else a batch holds: it is a session's, to the bit. Rules: larder.h.
#pragma once

#include <larder.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct larder_batch larder_batch;

// Options of sessions; LARDER_OPTION_CONTEXT_SIZE is that of the longest sequence. Takes all memory
// that it will ever need; where weights are loaded, progress is called with bytes.
larder_status larder_batch_open(const larder_model* model, const larder_options* options,
                                larder_batch** batch, larder_error** error);
larder_status larder_batch_close(larder_batch* batch);
// As larder_session_cancel(), of larder_batch_step(): nothing is lost, another step goes on.
void larder_batch_cancel(larder_batch* batch);
void larder_batch_forget_cancel(larder_batch* batch);

// Adds a sequence, to be gone on with by options of generation. tag: the caller's own. Behind an
// encoder ids are the source. LARDER_NO_ROOM: step and take first.
larder_status larder_batch_generate(larder_batch* batch, uint64_t tag, const int32_t* ids,
                                    size_t n_ids, const larder_options* options,
                                    larder_error** error);
// Adds a sequence to be scored, as larder_session_score() does.
larder_status larder_batch_score(larder_batch* batch, uint64_t tag, const int32_t* context,
                                 size_t n_context, const int32_t* continuation,
                                 size_t n_continuation, larder_error** error);
// One pass over what is held. *n_held: sequences that are not finished; 0: there is nothing to do.
// After a failure all are held that were, and another step goes on.
larder_status larder_batch_step(larder_batch* batch, size_t* n_held, larder_error** error);
// One that is finished, in the order in which they were. *answer is null where there is none now. A
// sequence that failed alone answers with its failure and its tag, and is taken, too: that is
// LARDER_NUMERIC or LARDER_OUT_OF_MEMORY, of which no other failure of this call is one. Numbers of
// an answer beyond its reason, tokens and calls are a session's, and 0 here.
larder_status larder_batch_take(larder_batch* batch, uint64_t* tag, larder_answer** answer,
                                larder_error** error);
// Of a sequence that was scored; else empty. Each of the pointers may be null.
larder_status larder_answer_scores(const larder_answer* answer, const double** logprobs,
                                   size_t* n_tokens, int32_t* is_greedy, larder_error** error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
