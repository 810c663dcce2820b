import threading

import numpy as np
import pytest

from inference.engines.base import FrameChunk
from inference.workers.encoder import EncoderThread


def chunk(number):
    return FrameChunk(frames=np.full((1, 2, 2, 3), number, np.uint8))


def number(chunk):
    return int(chunk.frames[0, 0, 0, 0])


def test_chunks_arrive_in_order_on_another_thread():
    def encode(chunks):
        return [number(chunk) for chunk in chunks], threading.current_thread()

    with EncoderThread(encode) as encoder:
        for index in range(20):
            encoder.put(chunk(index))
        numbers, thread = encoder.finish()

    assert numbers == list(range(20))
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_the_engine_waits_when_the_encoder_is_far_behind():
    go_on = threading.Event()
    put = []

    def encode(chunks):
        go_on.wait()
        return len(list(chunks))

    def engine():
        for index in range(10):
            encoder.put(chunk(index))
            put.append(index)

    with EncoderThread(encode) as encoder:
        thread = threading.Thread(target=engine)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert len(put) <= 3
        go_on.set()
        thread.join()
        assert encoder.finish() == 10


def test_a_failure_reaches_an_engine_that_waits():
    def encode(chunks):
        next(chunks)
        raise OSError("disk")

    def render():
        with EncoderThread(encode) as encoder:
            for index in range(10):
                encoder.put(chunk(index))

    with pytest.raises(OSError, match="disk"):
        render()


def test_a_failure_at_the_end_reaches_finish():
    def encode(chunks):
        list(chunks)
        raise OSError("disk")

    with EncoderThread(encode) as encoder:
        encoder.put(chunk(0))
        with pytest.raises(OSError, match="disk"):
            encoder.finish()


@pytest.mark.parametrize("waiting", [0, 1, 3])
def test_leaving_early_interrupts_the_encoder_so_that_it_can_tidy_up(waiting):
    tidied = threading.Event()

    def encode(chunks):
        try:
            for _ in chunks:
                pass
        except Exception:
            tidied.set()
            raise

    def render():
        with EncoderThread(encode) as encoder:
            for index in range(waiting):
                encoder.put(chunk(index))
            raise KeyError("engine")

    with pytest.raises(KeyError, match="engine"):
        render()
    assert tidied.is_set()
