"""The installed Python package, used as a program would. Arguments: the model's file."""

import sys
import threading
import time

import larder

MODEL = sys.argv[1]
MESSAGES = [{"role": "user", "content": "Tell me a story about a frog."}]


def check_texts(model: larder.Model) -> None:
    text = "Once upon a time \u00e9\u2603\U0001f438"
    ids = model.tokenize(text)
    assert model.detokenize(ids) == text, model.detokenize(ids)
    assert model.n_vocab > 0 and model.n_layers > 0 and model.has_template
    assert MESSAGES[0]["content"] in model.apply_template(MESSAGES)
    assert len(model.prompt(MESSAGES)) > 5
    template = "{{ tools[0].function.name }} {{ messages[0].tool_call_id }} {{ colour }}"
    called = [{"role": "tool", "content": "no", "tool_call_id": "x7"}]
    assert model.apply_template(called, template=template, variables={"colour": "r\u00f6t"},
                                tools=[{"function": {"name": "rain"}}]) == "rain x7 r\u00f6t"
    memory = model.estimate(context_size=256)
    assert memory.total >= memory.cache + memory.buffers > 0


def check_answers(model: larder.Model) -> None:
    with model.session(context_size=512) as session:
        whole = session.chat(MESSAGES, temperature=0, max_tokens=40)
        assert whole.text and whole.tokens and len(whole.logprobs) == len(whole.tokens)
        stream = session.chat_stream(MESSAGES, temperature=0, max_tokens=40)
        assert "".join(piece.text for piece in stream) == whole.text
        assert stream.answer is not None and stream.answer.tokens == whole.tokens
        assert stream.answer.n_reused > 0
        # Left early, and of use afterwards.
        with session.chat_stream(MESSAGES, temperature=0, ignore_end=True) as stream:
            next(stream)
            try:
                session.close()
                raise AssertionError("closed in the middle of a call")
            except larder.BusyError:
                pass
        again = session.chat(MESSAGES, temperature=0, max_tokens=40)
        assert again.text == whole.text
        try:
            session.chat(MESSAGES, lambda piece: bool(1 / 0))
            raise AssertionError("nothing was raised")
        except ZeroDivisionError:
            pass
        stopped = session.chat(MESSAGES, lambda piece: False)
        assert stopped.reason == "stop"


def check_left_stream(model: larder.Model) -> None:
    with model.session(context_size=512) as session:
        for _ in session.chat_stream(MESSAGES, temperature=0, ignore_end=True):
            break  # nobody holds the stream any more
        assert session.chat(MESSAGES, temperature=0, max_tokens=4).text


def check_batch(model: larder.Model) -> None:
    texts = [model.tokenize("Once there was a " + what, begin=True)
             for what in ("frog", "dog that", "little red house")]
    with model.batch(context_size=64) as batch, model.session(context_size=64) as session:
        for tag, ids in enumerate(texts):
            batch.generate(ids, tag=tag, temperature=0, max_tokens=12)
            batch.score(ids[:2], ids[2:], tag=(1 << 63) + tag)
        seen = {finished.tag: finished for finished in batch}
        assert len(seen) == 2 * len(texts) and all(f.error is None for f in seen.values())
        for tag, ids in enumerate(texts):
            session.continue_as(ids)
            alone = session.generate(temperature=0, max_tokens=12)
            answer, score = seen[tag].answer, seen[(1 << 63) + tag].score
            assert answer is not None and answer.tokens == alone.tokens
            assert answer.logprobs == alone.logprobs and answer.text == alone.text
            assert score == session.score(ids[:2], ids[2:])
        assert batch.step() == 0 and batch.take() is None
        batch.cancel()
        for wrong, kind in ((batch.step, larder.Cancelled),
                            (lambda: batch.generate([], tag=1), ValueError),
                            (lambda: batch.generate([1], tag=-1), OverflowError),
                            (lambda: batch.generate([1] * 65, tag=1), larder.ContextFullError),
                            (lambda: fill(batch), larder.NoRoomError)):
            try:
                wrong()
            except kind as error:
                assert str(error)
            else:
                raise AssertionError("no error")


def fill(batch: larder.Batch) -> None:
    for tag in range(100000):
        batch.score([1], [2], tag=tag)


def check_saving(model: larder.Model) -> None:
    ids = model.tokenize("Once upon a time there was", begin=True)
    with model.session(context_size=64) as session, model.session(context_size=64) as other:
        session.prefill(ids)
        other.restore(session.save())
        copy = session.copy()
        assert other.tokens == session.tokens == copy.tokens == ids
        score = session.score(ids[:3], ids[3:])
        assert len(score.logprobs) == len(ids) - 3 and score.logprob < 0
        assert copy.rewind(2) == 2
        try:
            import numpy
        except ImportError:
            print("skipped: no NumPy here")
            return
        session.continue_as(ids)
        assert numpy.array_equal(session.logits, other.logits)
        assert abs(float(numpy.exp(session.logprobs().astype("f8")).sum()) - 1) < 1e-4


def check_errors(model: larder.Model) -> None:
    for wrong, kind in ((lambda: larder.Model("/nowhere"), OSError),
                        (lambda: larder.Model(__file__), larder.CorruptError),
                        (lambda: model.session(context_size=-1), ValueError),
                        (lambda: model.session(colour=1), TypeError),
                        (lambda: model.session().step(-1), ValueError),
                        (lambda: model.session().step(1 << 32), OverflowError),
                        (lambda: model.session().prefill([1, 1 << 40]), OverflowError),
                        (lambda: model.session(context_size=1 << 70), OverflowError),
                        (lambda: model.session(context_size=1.5), TypeError),
                        (lambda: model.session().rewind(1 << 64), OverflowError),
                        (lambda: model.session().logits, ValueError),
                        (lambda: model.session(ram_bytes=1), MemoryError)):
        try:
            wrong()
        except kind as error:
            assert str(error)
        else:
            raise AssertionError("no error")


def check_cancel(model: larder.Model) -> None:
    with model.session() as session:
        def cancel_soon() -> None:
            time.sleep(0.05)
            session.cancel()

        thread = threading.Thread(target=cancel_soon)
        thread.start()
        answer = session.chat(MESSAGES, ignore_end=True)
        thread.join()
        assert answer.reason in ("cancelled", "context_full"), answer.reason
        assert session.statistics["n_tokens"] > 0


assert larder.version().count(".") == 2 and larder.abi_version() == 1
with larder.Model(MODEL) as opened:
    for check in (check_texts, check_answers, check_left_stream, check_batch, check_saving,
                  check_errors, check_cancel):
        check(opened)
print("ok")
