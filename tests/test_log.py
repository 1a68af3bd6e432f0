from __future__ import annotations

import logging

from pgqueue.log import LineFormatter, get_task_logger


def formatted(message: str) -> str:
    record = logging.LogRecord("x", logging.INFO, "", 0, message, None, None)
    return LineFormatter("%(message)s").format(record)


def test_a_message_cannot_begin_a_line_of_its_own() -> None:
    assert formatted("lost\n[2026: INFO] all is well") == "lost\n    [2026: INFO] all is well"


def test_control_characters_are_shown_not_sent_to_the_terminal() -> None:
    assert formatted("\x1b[2Jgone\r\x07") == r"\x1b[2Jgone\x0d\x07"


def test_text_in_any_language_stays_as_it_is() -> None:
    assert formatted("任務 für 10 €\tdone") == "任務 für 10 €\tdone"


def test_a_task_logger_is_a_child_of_the_tasks_logger() -> None:
    assert get_task_logger("shop_tasks_here").parent is logging.getLogger("pgqueue.task")
