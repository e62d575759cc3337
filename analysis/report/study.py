"""What does `90_report` ask? It trains nothing."""

from dataclasses import dataclass

from taujp_core.suites import load_suite

from ..paths import PLAN, in_project
from ..study import WRITTEN, ask
from .tables import TABLES, load_summary


@dataclass(frozen=True)
class ReportStudy:
    suites: list[str] = ask(["mini"], "clip8-b32, clip8-b16 and clip8-l14 have published numbers")
    folder: str = ask("runs", "holds SUITE-addition and SUITE-negation, the outputs of 30_addition and 31_negation")
    study: str = ask("", "folder of a study, such as runs/mini-tables: its trainings, too; docs/batch.md")
    output: str = ask("runs/report", "folder for report.csv and report.json", path=WRITTEN)

    def plan(self) -> list:
        """Nothing. Raises ValueError for a table that is not of its suite, and for a folder in which no study ran."""
        for name in self.suites:
            load_suite(name)
            for table in TABLES:
                load_summary(in_project(self.folder), table, name)
        if self.study and not (in_project(self.study) / PLAN).is_file():
            raise ValueError(f"parameter study: {self.study} has no {PLAN}, so no study ran there")
        return []
