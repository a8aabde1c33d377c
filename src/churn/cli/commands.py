"""The commands, and what a person is told about them without anything heavy being loaded."""

from churn.conf_tree import groups, presets

COMMANDS = {
    "simulate": "writes the demo product's usage logs",
    "check": "reports what is in a log and changes nothing",
    "rollup": "takes in what the source holds now, updates the daily roll-up",
    "define": "candidates for churn by inactivity: who comes back, base rate, a recommendation",
    "features": "builds the panel for training and for `as_of`",
    "train": "baselines and models, calibration, MLflow run, registers a challenger",
    "backtest": "rolling origins: honest figures for a configuration, beside all baselines",
    "tune": "searches over models and families, and judges the winner on days it never saw",
    "compare": "compare.runs=[A,B]: two or more runs on the same customers, paired",
    "promote": "moves the champion to the challenger, or says why not",
    "score": "calibrated risk of every active customer",
    "explain": "reasons for who is listed (or customer=ID) and global importance",
    "retain": "the retention list",
    "config": "writes the resolved configuration that `dvc repro` depends on",
    "run": "the whole path once, from logs to a list",
    "weekly": "the production job: new logs, champion, published list",
    "replay": "from= to=: past weeks as if live",
    "outcomes": "takes in what CS recorded: outcomes.files='back/*.xlsx' or outcomes.table=",
    "impact": "what contacting has changed, with intervals that hold at every weekly look",
    "deliver": "sends the mails and notices of the current list, and what could not be sent before",
    "forget": "customer=ID (or user=ID): erases a person everywhere the product wrote, and proves it",
    "status": "exits 0 while the current list is fresh, 4 when it is too old",
    "completion": "prints a completion script for bash or zsh",
}
FLOWS = ("run", "weekly", "replay", "forget")

KEYS = {
    "workspace=DIR": "where everything is written (default data)",
    "as_of=YYYY-MM-DD": "the date to work for (default: the date of the log's last event)",
    "source=NAME": "source=files source.events='logs/*.csv' for logs of your own",
    "name=NAME": "what a train or backtest is called in MLflow and by `churn compare`",
    "experiment=NAME": "a preset; see `churn COMMAND --help`",
    "params=FILE": "what `churn config` wrote, instead of all other words",
    "debug=true": "shows the traceback of an error",
    "--cfg job": "prints every key with its value and does nothing",
    "--multirun": "runs once for each of several values: train.model=lightgbm,logistic",
    "--config-dir DIR": "a folder with configuration of your own beside conf/",
}


def overview() -> str:
    """What `churn --help` prints."""
    return (
        "churn: from usage logs to a short list of customers worth contacting\n\n"
        f"usage: churn COMMAND [key=value ...]\n\n{_columns(COMMANDS)}\n\n"
        f"with every command:\n{_columns(KEYS)}\n"
    )


def help_of(command: str) -> str:
    """What `churn COMMAND --help` prints."""
    choices = {f"{name}=": ", ".join(found) for name, found in groups().items()}
    choices.pop("experiment=")
    return (
        f"churn {command}: {COMMANDS[command]}\n\n"
        f"usage: churn {command} [key=value ...]\n\n{_columns(KEYS)}\n\n"
        f"choices:\n{_columns(choices)}\n\n"
        f"presets (experiment=NAME):\n{_columns(presets())}\n\n"
        f"`churn {command} --cfg job` prints every key.\n"
    )


def completion() -> str:
    """A script that completes commands, keys and choices in bash and zsh."""
    from churn.cli.keys import keys

    choices = [f"{name}={choice}" for name, found in groups().items() for choice in found]
    words = " ".join([*(f"{name}=" for name in keys()), *choices])
    return (
        "# source <(churn completion)\n"
        '[ -n "$ZSH_VERSION" ] && autoload -U +X bashcompinit && bashcompinit\n'
        "_churn() {\n"
        f"  local offered='{' '.join(COMMANDS)}'\n"
        f"  [ \"$COMP_CWORD\" -gt 1 ] && offered='{words}'\n"
        '  local word="${COMP_LINE:0:COMP_POINT}"; word="${word##* }"\n'
        '  COMPREPLY=($(compgen -W "$offered" -- "$word"))\n'
        # bash replaces only what stands behind the = of a word
        '  [[ "$COMP_WORDBREAKS" == *=* && "$word" == *=* ]]'
        ' && COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")\n'
        "}\n"
        "complete -o nospace -F _churn churn\n"
    )


def _columns(entries: dict[str, str]) -> str:
    width = max(map(len, entries))
    return "\n".join(f"  {name:<{width}}  {text}".rstrip() for name, text in entries.items())
