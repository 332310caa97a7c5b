"""What consoles of other systems offer and ours has too: each feature, and the test that shows it."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent

FEATURES = {
    "completion of live names": "test_display.py::test_names_attributes_keys_and_modules_are_completed",
    "highlighting": "test_commands.py::test_the_editor_colours_what_is_typed",
    "multi-line editing": "test_session.py::test_a_paste_of_fifty_lines_is_run_as_fifty_lines",
    "history kept across logins, per user": "test_commands.py::test_history_is_kept_across_logins_and_is_each_persons_own",
    "await at top level": "test_session.py::test_await_works_at_the_prompt_and_ctrl_c_ends_the_waiting",
    "several users at once": "test_commands.py::test_statements_of_several_people_take_turns_at_their_awaits",
    "names of one's own and shared ones": "test_session.py::test_each_persons_names_are_their_own_until_they_share_them",
    "output to who typed it, also from tasks, timers, threads": (
        "test_session.py::test_what_one_session_prints_is_seen_by_it_alone_also_from_timers_tasks_and_threads"
    ),
    "Ctrl-C stops a runaway statement": "test_interrupt.py::test_ctrl_c_stops",
    "a time limit per statement": (
        "test_interrupt.py::test_a_statement_that_keeps_the_loop_longer_than_its_limit_is_stopped_and_told_the_cure"
    ),
    "blocking work on request": (
        "test_commands.py::test_long_work_in_a_thread_leaves_the_server_free_and_prints_where_it_was_begun"
    ),
    "usable while the loop is hung": (
        "test_interrupt.py::test_while_the_loop_is_stuck_a_person_gets_in_sees_where_and_frees_it"
    ),
    "tasks and timers listed and cancelled": "test_commands.py::test_tasks_are_listed_and_cancelled_by_name",
    "stacks of tasks and threads": "test_commands.py::test_stacks_shows_threads_and_where_tasks_wait",
    "log tail": "test_commands.py::test_the_log_is_tailed_and_followed_and_a_statements_own_records_stay_in_it",
    "source of a live function, seen": "test_session.py::test_a_class_typed_at_the_prompt_can_be_read_back_by_python_itself",
    "and edited, and rebuilt": (
        "test_clients.py::test_the_source_of_a_live_function_is_edited_in_the_persons_own_editor"
    ),
    "and undone": "test_undo.py::test_what_a_block_changed_is_put_back_by_undo",
    "attach by unix, telnet, ssh": "test_clients.py::test_a_person_with_their_own_client",
    "authentication: socket": "test_session.py::test_the_socket_is_private_and_is_gone_afterwards",
    "authentication: password": (
        "test_people.py::test_the_password_is_not_echoed_and_a_wrong_one_is_refused_and_slowed_down"
    ),
    "authentication: key": "test_clients.py::test_ssh_runs_one_statement_or_a_script_and_gives_its_status",
    "roles": "test_people.py::test_a_viewer_looks_and_changes_nothing",
    "audit of statements": "test_people.py::test_every_statement_is_written_down_before_it_runs",
    "recording and replay": (
        "test_commands.py::test_a_session_is_recorded_and_shown_again_without_what_was_typed_unseen"
    ),
    "resize": "test_session.py::test_the_terminal_is_drawn_for_the_size_it_has_now",
    "plain telnet": "test_session.py::test_a_person_types_python_and_sees_the_value",
    "netcat": "test_clients.py::test_netcat_gets_plain_lines",
    "echo cmd | attach": "test_session.py::test_one_shot_attach_from_a_shell",
    "JSON": "test_jsonlines.py::test_a_request_gives_its_result_its_output_and_its_time",
    "post mortem": "test_objects.py::test_pm_looks_into_the_frames_of_the_last_error_while_the_server_goes_on",
    "detach and reattach": (
        "test_joining.py::test_a_session_is_left_while_its_statement_runs_and_taken_back_with_what_it_printed"
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_has_the_test_that_is_named_for_it(feature: str) -> None:
    file, _, name = FEATURES[feature].partition("::")
    tree = ast.parse((HERE / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
