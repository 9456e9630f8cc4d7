# SPDX-License-Identifier: Apache-2.0
"""What legs leave behind: files cut into rows, in the driver's memory or in a directory that Spark writes.

    DIR/leg-K/rows        the leg's rows, as Parquet
    DIR/leg-K/manifest    one line of JSON, written last: only with it does the leg count

K is the leg's number modulo 3: a leg takes the place of the oldest of three, so that the newest two stay, and nothing but
Spark's own writer is needed to be rid of old ones, over Spark Connect, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Optional

import pyarrow as pa

from bdl.errors import BdlFormatError, BdlStateError
from bdl.spark import _files
from bdl.spark._rows import SCHEMA, join

FORMAT = "bdl-leg"
PLACES = 3


@dataclass
class Leg:
    """A leg that has ended: its report, and its rows (a table, or the directory where they are)."""

    number: int
    report: dict[str, Any]
    table: Optional[pa.Table] = None
    directory: str = ""

    def rows(self, spark: Any, kind: str) -> Any:
        """A DataFrame of the rows of one kind."""
        if self.table is None:
            found = spark.read.schema(SCHEMA).parquet(_files.join(self.directory, "rows"))
        else:
            found = spark.createDataFrame(self.table)
        return found.where(found["kind"] == kind)

    def file(self, spark: Any, kind: str) -> bytes:
        """The file that was cut into rows of this kind."""
        table = self.table
        if table is None:
            table = self.rows(spark, kind).toArrow()
        return join(of_kind(table, kind), f"leg {self.number}, {kind}")


def of_kind(table: pa.Table, kind: str) -> dict[int, bytes]:
    """The pieces of one kind by number."""
    pairs = zip(table.column("kind").to_pylist(), table.column("number").to_pylist())
    column = table.column("bytes")
    return {number: column[i].as_py() for i, (found, number) in enumerate(pairs) if found == kind}


def report_of(table: pa.Table, kind: str) -> Any:
    """The JSON of a kind, or None."""
    found = of_kind(table, kind)
    return json.loads(join(found, kind)) if found else None


class Store:
    """Where the legs of a fit go."""

    def __init__(self, spark: Any, directory: str) -> None:
        self.spark = spark
        self.directory = directory.rstrip("/")

    def _place(self, number: int) -> str:
        return _files.join(self.directory, f"leg-{number % PLACES}")

    def newest(self) -> Optional[Leg]:
        """The newest leg that counts."""
        from pyspark.errors import AnalysisException

        if not self.directory or not _files.exists(self.spark, self.directory):
            return None
        try:
            lines = [row[0] for row in self.spark.read.text(_files.join(self.directory, "leg-*/manifest")).collect()]
        except AnalysisException as error:
            if error.getCondition() == "PATH_NOT_FOUND":
                return None
            raise
        found = []
        for line in lines:
            manifest = json.loads(line)
            if manifest.get("format") != FORMAT or manifest.get("version") != 1:
                raise BdlFormatError(f"'{self.directory}' holds a manifest that is none of bdl's: {line[:80]}")
            found.append(Leg(manifest["leg"], manifest["report"], directory=self._place(manifest["leg"])))
        return max(found, key=lambda leg: leg.number, default=None)

    def write(self, number: int, rows: Any) -> None:
        """Writes a leg's rows, which runs the leg. What is there is replaced: a try that did not count, or the oldest leg, whose
        manifest is of no interest as the newest leg has one, too."""
        rows.write.mode("overwrite").parquet(_files.join(self._place(number), "rows"))

    def read_reports(self, number: int, kinds: list[str]) -> pa.Table:
        """The small rows of a leg that was written."""
        rows = self.spark.read.schema(SCHEMA).parquet(_files.join(self._place(number), "rows"))
        return rows.where(rows["kind"].isin(kinds)).toArrow()

    def commit(self, number: int, report: dict[str, Any]) -> Leg:
        """Writes the manifest."""
        manifest = {"format": FORMAT, "version": 1, "leg": number, "report": report}
        line = self.spark.createDataFrame([(json.dumps(manifest),)], "value string").coalesce(1)
        line.write.mode("overwrite").text(_files.join(self._place(number), "manifest"))
        return Leg(number, report, directory=self._place(number))

    def check_new(self) -> None:
        """Refuses to mix a new run with an older one."""
        found = self.newest()
        if found is not None:
            raise BdlStateError(
                f"checkpointDir '{self.directory}' holds leg {found.number} of an earlier run: set resume=True to go on, or "
                "name another directory"
            )
