"""ModelStreamInfer: what is answered, in which order, and whose error it is."""

import time

import numpy as np
import pytest

from service.surfaces.oip.stream import MAX_AT_ONCE
from tests.packages import assert_close, example, expected
from tests.service.surfaces.callers import in_flight, slow_model_occupied
from tests.service.surfaces.conversation import Conversation, Said
from tests.service.surfaces.transports import Refused
from tests.serving import Server, eventually
from tests.step_packages import chars, chars_row, diffusion


def tokens(answers: list[Said]) -> list[int]:
    return [int(answer.outputs["next_token"][0]) for answer in answers]


def of(answers: list[Said], id: str) -> list[Said]:
    return [answer for answer in answers if answer.id == id]


def test_a_loop_answers_once_for_each_step_and_the_last_is_final(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("chars", "a", seed=5, steps=7)
        answers = caller.read_all()
    wanted, hidden = chars_row(5, 7)
    assert tokens(answers) == wanted
    assert [answer.final for answer in answers] == [False] * 6 + [True]
    assert [answer.parameters["step"] for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
    assert {answer.parameters["seed"] for answer in answers} == {5}
    assert ["next_hidden" in answer.outputs for answer in answers] == [False] * 6 + [True]
    assert_close(answers[-1].outputs["next_hidden"][0], hidden)


def test_the_seed_in_the_answers_gives_them_again(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("chars", "first")
        first = [caller.read()]
        while not first[-1].final:
            first.append(caller.read())
        seed = first[0].parameters["seed"]
        assert 0 <= seed < 1 << 53
        caller.ask("chars", "again", seed=seed)
        assert tokens(caller.read_all()) == tokens(first) == chars(seed)


def test_a_model_that_runs_once_is_answered_once(loops: Server) -> None:
    images = example(3)
    with Conversation(loops) as caller:
        caller.ask("tiny", "once", inputs={"image": images})
        (answer,) = caller.read_all()
    assert (answer.id, answer.error, answer.parameters) == ("once", "", {"triton_final_response": True})
    assert_close(answer.outputs["probabilities"], expected(images))


def test_a_loop_that_emits_nothing_is_answered_once_with_its_seed(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("diffusion", inputs={"label": np.array([2])}, seed=9, steps=4)
        (answer,) = caller.read_all()
    assert answer.parameters == {"triton_final_response": True, "step": 4, "seed": 9}
    assert_close(answer.outputs["image"][0], diffusion(9, 2, 4))


def test_only_the_outputs_asked_for_come_and_steps_without_any_are_not_answered(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("chars", "some", ["next_token"], seed=5, steps=3)
        caller.ask("chars", "end", ["next_hidden"], seed=5, steps=3)
        answers = caller.read_all()
    assert [list(answer.outputs) for answer in of(answers, "some")] == [["next_token"]] * 3
    (end,) = of(answers, "end")
    assert (list(end.outputs), end.final, end.parameters["step"]) == (["next_hidden"], True, 3)


def test_a_caller_that_wants_empty_finals_gets_the_same_for_no_answer_is_empty(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("chars", seed=5, steps=3, triton_enable_empty_final_response=True)
        answers = caller.read_all()
    assert tokens(answers) == chars(5, 3)
    assert [answer.final for answer in answers] == [False, False, True]


def test_answers_of_requests_interleave_as_they_come(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("ticks", "long", steps=2000)
        assert caller.read().id == "long"
        caller.ask("tiny", "short", inputs={"image": example(1)})
        answers = caller.read_all()
    assert [answer.outputs["count"][0, 0] for answer in of(answers, "long")] == list(range(2, 2001))
    assert answers.index(of(answers, "short")[0]) < len(answers) - 1


def test_half_closing_lets_what_runs_finish(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("ticks", "long", steps=500)
        caller.read()
        caller.hang_up_sending()
        answers = list(caller)
    assert len(answers) == 499
    assert answers[-1].final


def test_an_error_is_its_requests_last_answer_and_the_others_go_on(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("chars", "good", seed=5, steps=6)
        caller.ask("nope", "model")
        caller.ask("chars", "unknown parameter", seed=5, steps=6, colour="red")
        caller.ask("chars", "parameter", seed="red")
        caller.ask("chars", "steps", steps=0)
        caller.ask("tiny", "input")
        answers = caller.read_all()
    assert tokens(of(answers, "good")) == tokens(of(answers, "unknown parameter")) == chars(5, 6)
    errors = {answer.id: answer for answer in answers if answer.error}
    assert "no model 'nope'" in errors["model"].error
    assert "'seed' is 'red'; it must be a whole number from 0" in errors["parameter"].error
    assert "steps is 0; model 'chars' allows 1 to 1000" in errors["steps"].error
    assert "'image'" in errors["input"].error
    assert all(error.final and not error.outputs for error in errors.values())


def test_bytes_that_are_no_message_are_refused_and_the_others_answered(loops: Server) -> None:
    with Conversation(loops) as caller:
        caller.ask("chars", "before", seed=5, steps=6)
        caller.send(b"\xff" * 100)
        caller.send(b"")
        caller.ask("chars", "after", seed=4, steps=6)
        answers = caller.read_all()
    assert tokens(of(answers, "before")) == chars(5, 6)
    assert tokens(of(answers, "after")) == chars(4, 6)
    refused, empty = sorted((answer.error for answer in of(answers, "")), reverse=True)
    assert refused.startswith("the request's 100 bytes cannot be read")
    assert empty.startswith("no model ''")


def test_a_caller_may_have_errors_as_the_status_that_ends_the_stream(loops: Server) -> None:
    with Conversation(loops, triton_grpc_error="true") as caller:
        caller.ask("ticks", "running", steps=100_000)
        caller.read()
        caller.ask("nope", "wrong")
        with pytest.raises(Refused, match="no model 'nope'") as ended:
            caller.read_on()
    assert ended.value.code == "NOT_FOUND"
    assert eventually(lambda: in_flight(loops, "oip_grpc") == 0)


def test_1000_requests_of_one_stream_each_get_their_own_answers(loops: Server) -> None:
    with Conversation(loops) as caller:
        for seed in range(1000):
            if seed % 4:
                caller.ask("chars", str(seed), ["next_token"], seed=seed, steps=2)
            else:
                caller.ask("tiny", str(seed), ["probabilities"], inputs={"image": example(1, seed)})
        answers = caller.read_all()
    by_id: dict[str, list[Said]] = {}
    for answer in answers:
        by_id.setdefault(answer.id, []).append(answer)
    assert len(by_id) == 1000
    for seed in range(1000):
        found = by_id[str(seed)]
        if seed % 4:
            assert tokens(found) == chars(seed, 2)
        else:
            assert_close(found[0].outputs["probabilities"], expected(example(1, seed)))
        assert [answer.final for answer in found] == [False] * (len(found) - 1) + [True]


def test_no_more_requests_of_a_stream_run_at_once_than_are_allowed(loops: Server) -> None:
    with slow_model_occupied(loops), Conversation(loops) as caller:
        for i in range(MAX_AT_ONCE + 100):
            caller.ask("slow", str(i), inputs={"image": example(1)})
        assert eventually(lambda: in_flight(loops, "oip_grpc") > MAX_AT_ONCE)
        time.sleep(0.3)
        assert in_flight(loops, "oip_grpc") == MAX_AT_ONCE + 1  # the one that occupies it


def test_streams_are_measured(loops: Server) -> None:
    def measured() -> list[float]:
        of_chars = {"model": "chars", "version": "1", "surface": "oip_grpc"}
        return [
            loops.metric("lectorium_emissions_total", **of_chars),
            loops.metric("lectorium_first_emission_seconds_count", **of_chars),
            loops.metric("lectorium_queue_duration_seconds_count", **of_chars),
            loops.metric("lectorium_request_duration_seconds_count", **of_chars, code="OK"),
            loops.metric("lectorium_request_duration_seconds_count", **of_chars, code="INVALID_ARGUMENT"),
        ]

    before = measured()
    with Conversation(loops) as caller:
        caller.ask("chars", seed=5, steps=6)
        caller.ask("chars", seed=5, steps=2)
        caller.ask("chars", steps=0)
        caller.read_all()
    assert [now - then for now, then in zip(measured(), before, strict=True)] == [8, 2, 2, 2, 1]
