"""The commands of docs/operations can be run: their tools, options and names exist, and what they search for is logged.

tests/system/test_runbooks.py and test_runbooks_accounts.py run those that a machine without a cluster can run.
"""

import ast
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import click
import pytest
import yaml

from mercato.catalog import CHART, catalog
from mercato.cli import main
from tests.runbooks import ROOT, Written, commands

OPTIONS = {
    "-n": 1, "--namespace": 1, "--context": 1, "--selector": 1, "--since": 1, "--previous": 0, "--sort-by": 1, "-k": 1,
    "--output": 1, "--replicas": 1, "--from": 1, "-f": 1, "--set": 1, "--wait": 0, "--reset-then-reuse-values": 0,
    "--profile": 1, "-d": 0, "-KILL": 0, "-CONT": 0, "--tail": 1,
}  # fmt: skip
"""Options of kubectl, helm and docker that a page may use -> the number of their values."""
VERBS: dict[str, dict[str, tuple[str, ...]]] = {
    "kubectl": {
        "apply": ("-k", "-f"),
        "create": ("--from",),
        "delete": (),
        "describe": (),
        "exec": (),
        "get": ("--selector", "--sort-by", "--output"),
        "logs": ("--since", "--previous", "--tail"),
        "port-forward": (),
        "rollout": (),
        "scale": ("--replicas",),
        "top": (),
    },
    "helm": {
        "history": (),
        "rollback": ("--wait",),
        "upgrade": ("--set", "--wait", "--reset-then-reuse-values"),
    },
}
"""The verbs of a tool, and the options of each besides namespace and context."""
KINDS = {
    "pods",
    "pod",
    "deployments",
    "jobs",
    "job",
    "endpointslices",
    "events",
    "secret",
    "status",
    "restart",
    "history",
}
DEPLOYMENTS = {name + suffix for name in catalog() for suffix in ("", "-worker")}
PLACEHOLDERS = {"SERVICE", "CALLED", "CALLER", "POD", "SERVICE-worker", "CALLER-worker"}
COMMANDS = commands()
OF_CLUSTER = [each for each in COMMANDS if each.tool in VERBS]
SEARCHED = [(each, stage) for each in COMMANDS for stage in each.stages if stage[0] == "grep"]


def named(written: Written) -> str:
    return f"{written.page}: {written.text}"


@pytest.mark.parametrize("written", COMMANDS, ids=named)
def test_tool_is_known(written: Written) -> None:
    first = next(word for word in written.stages[0] if not re.match(r"[A-Z_]+=", word) or "$(" in word)
    assert first in ("mercato", "kubectl", "helm", "make", "docker", "kill", "upgrade", "upgrade()") or "$(" in first


@pytest.mark.parametrize("written", OF_CLUSTER, ids=named)
def test_command_of_a_cluster_has_a_known_verb_with_its_options_and_names(written: Written) -> None:
    tool, *words = written.stages[0]
    words, inner = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    options, plain = split_options(words)
    verb, *arguments = plain
    allowed = {"-n", "--namespace", "--context", *VERBS[tool][verb]}
    assert options.keys() <= allowed, f"{verb} has no {options.keys() - allowed}"
    if not written.is_name:
        assert options.keys() & {"-n", "--namespace", "-k", "-f"}, "without its namespace it works on another one"
    for argument in arguments:
        check_name(tool, argument)
    for selector in options.get("--selector", "").split(","):
        check_label(selector)
    if path := options.get("-k") or options.get("-f"):
        assert (ROOT / path).exists()
    if "--from" in options:
        kind, _, name = options["--from"].partition("/")
        assert (kind, name.removesuffix("-audit")) in {("cronjob", each) for each in audited()}
    if verb == "exec":
        assert inner[0] == "mercato"


@pytest.mark.nightly  # a call of kubectl takes a tenth of a second
@pytest.mark.parametrize("tool", VERBS)
def test_tool_itself_knows_the_options(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    words = {tuple(each.stages[0]) for each in OF_CLUSTER if each.tool == tool and not each.is_name}
    for command in sorted(each[: each.index("--")] if "--" in each else each for each in words):
        done = subprocess.run([*command, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def split_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return (option -> its value, the other words)."""
    options, plain, rest = dict[str, str](), list[str](), iter(words)
    for word in rest:
        if not word.startswith("-"):
            plain.append(word)
            continue
        option, has_value, value = word.partition("=")
        assert option in OPTIONS, f"{option} is no option that pages use"
        options[option] = value if has_value else next(rest) if OPTIONS[option] else ""
    return options, plain


def check_name(tool: str, argument: str) -> None:
    kind, _, name = argument.rpartition("/")
    if tool == "helm":
        assert argument == "mercato" or (ROOT / argument).is_dir()
    elif kind in ("deployment", "deploy"):
        assert name in DEPLOYMENTS | PLACEHOLDERS, f"the chart has no deployment {name}"
    elif kind == "job":
        assert re.fullmatch(r"(\w+)-audit-\d+", name)[1] in audited()
    elif kind == "service":
        assert list((ROOT / "k8s").rglob(f"{name}.yaml")) or list((ROOT / "k8s").glob(f"*/{name}")), name
    else:
        assert argument in KINDS | PLACEHOLDERS or re.fullmatch(r"\d+|mercato|\w+-audit-now", argument), argument


def check_label(selector: str) -> None:
    label, _, value = selector.partition("=")
    if label == "app.kubernetes.io/name":
        assert value in {*catalog(), *PLACEHOLDERS}
    elif label == "app.kubernetes.io/component":
        assert value in ("web", "worker")
    elif label == "kubernetes.io/service-name":
        assert value == "CALLED-pods"
    else:
        assert not selector, f"no object has the label {label}"


@cache
def audited() -> set[str]:
    services = yaml.safe_load(CHART.read_text(encoding="utf-8"))["services"]
    return {name for name, entry in services.items() if entry.get("audits")}


@pytest.mark.parametrize("written", [each for each in COMMANDS if each.local.startswith("mercato ")], ids=named)
def test_command_and_its_options_exist(written: Written) -> None:
    command: Any = main
    words = Written(written.page, written.local).stages[0][1:]
    while words and words != ["--help"] and isinstance(command, click.Group):
        name = words.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"there is no {name}"
    if not isinstance(command, click.Group):
        with click.Context(command, info_name=written.text, resilient_parsing=True) as context:
            command.parse_args(context, words)
            options = {option for each in command.params for option in getattr(each, "opts", ())}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("written", [each for each in COMMANDS if each.tool == "make"], ids=named)
def test_make_target_exists(written: Written) -> None:
    targets = re.findall(r"^([a-z][\w -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert written.stages[0][1] in {name for names in targets for name in names.split()}


def test_a_stopped_process_is_sent_only_signals_that_reach_it() -> None:
    kills = [each.stages[0] for each in COMMANDS if each.tool == "kill" and not each.is_name]
    assert kills and all(words[1] in ("-KILL", "-CONT") for words in kills), kills


@cache
def logged() -> str:
    """Return every text of the code that a log line may hold, and the forms of a line."""
    found = {'"level":"error"', '"userId":"'}
    for path in [*ROOT.glob("chassis/**/*.py"), *ROOT.glob("services/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return "\n".join(found)


@pytest.mark.parametrize(("written", "stage"), SEARCHED, ids=lambda each: str(each))
def test_what_is_searched_in_a_log_can_be_logged(written: Written, stage: list[str]) -> None:
    patterns = [word for word in stage[1:] if not word.startswith("-")]
    assert patterns
    for pattern in patterns:
        is_of_kubectl = written.stages[0][1:4] == ["-n", "mercato", "describe"]
        assert is_of_kubectl or pattern == "ORDER" or pattern.partition("[")[0] in logged(), f"nothing logs {pattern!r}"


def test_blocks_are_shell() -> None:
    for page in {each.page for each in COMMANDS}:
        text = "\n".join(each.text for each in COMMANDS if each.page == page and not each.text.startswith("`"))
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"{page}: {done.stderr}"
