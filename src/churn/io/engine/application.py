"""Starting Spark: one application per process, pinned to what the results depend on."""

import atexit
import logging
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from churn.errors import ConfigurationError
from churn.io.engine import Resources

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUIET = Path(__file__).with_name("quiet.properties")

UNITS = {
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}

LEAST_MEMORY_MIB = 512
"""Spark refuses to start with less."""


def require_installed() -> None:
    try:
        import pyspark  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "engine=spark needs the extra spark",
            got="no package pyspark",
            expected="pyspark 4",
            next_step="pip install 'churn[spark]', or leave engine=spark out",
        ) from error
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ConfigurationError(
            "engine=spark needs Java",
            got="no java on the PATH and no JAVA_HOME",
            expected="Java 17 or newer",
            next_step="install a Java runtime, or leave engine=spark out",
        )


def application(resources: Resources) -> "SparkSession":
    """The Spark application of this process; a stopped one, or one elsewhere, makes room."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # it prints stack traces
    present = SparkSession.getActiveSession()
    if present is not None:
        context = present.sparkContext
        if context.master == resources.master and not context._jsc.sc().isStopped():
            return present
        present.stop()
    place = Path(resources.spill or tempfile.mkdtemp(prefix="churn-spark-"))
    if not resources.spill:
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    builder = SparkSession.builder.appName("churn").master(resources.master)
    for key, value in _configuration(resources, place).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    atexit.register(session.stop)
    return session


def _configuration(resources: Resources, place: Path) -> dict[str, str]:
    """What the results depend on, and where Spark may write; all else is in its spark-defaults.conf.

    Without ANSI mode Spark overflows and casts silently; with another zone or type of timestamps
    days shift; in Parquet the default timestamp is one that only old readers understand.
    """
    is_local = resources.master.startswith("local")
    memory = f"{_mebibytes(resources.memory_limit)}m"
    here = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return {
        **(here if is_local or "//127.0.0.1" in resources.master else {}),
        "spark.driver.memory" if is_local else "spark.executor.memory": memory,
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={QUIET.as_uri()}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(place),
        "spark.sql.warehouse.dir": str(place / "warehouse"),
        "spark.sql.ansi.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.shuffle.partitions": str(resources.shuffle_partitions),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.files.ignoreCorruptFiles": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    }


def _mebibytes(amount: str) -> int:
    """DuckDB's notation in MiB, at least what Spark asks for.

    >>> _mebibytes("4GB"), _mebibytes("1 GiB"), _mebibytes("100MB")
    (3814, 1024, 512)
    """
    found = re.fullmatch(r"([\d.]+) ?([KMGT]i?)?B", amount)
    assert found, "settings checked it"
    return max(LEAST_MEMORY_MIB, int(float(found[1]) * UNITS.get(found[2], 1) / 2**20))
