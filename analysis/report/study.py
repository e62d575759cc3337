"""What does `90_report` ask? It trains nothing."""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import load_suite

from ..paths import PLAN, in_project
from ..study import WRITTEN, Parameter, default
from .tables import TABLES, load_summary


@dataclass(frozen=True)
class ReportStudy:
    suites: Annotated[list[str], Parameter("clip8-b32, clip8-b16 and clip8-l14 have published numbers")] = default(
        ["mini"]
    )
    folder: Annotated[
        str, Parameter("holds SUITE-addition and SUITE-negation, the outputs of 30_addition and 31_negation")
    ] = "runs"
    study: Annotated[
        str, Parameter("folder of a study, such as runs/mini-tables: its trainings, too; docs/batch.md")
    ] = ""
    output: Annotated[str, Parameter("folder for report.csv and report.json", path=WRITTEN)] = "runs/report"

    def plan(self) -> list:
        """Nothing. Raises ValueError for a table that is not of its suite, and for a folder in which no study ran."""
        for name in self.suites:
            load_suite(name)
            for table in TABLES:
                load_summary(in_project(self.folder), table, name)
        if self.study and not (in_project(self.study) / PLAN).is_file():
            raise ValueError(f"parameter study: {self.study} has no {PLAN}, so no study ran there")
        return []
