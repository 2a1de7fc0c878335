"""All checks of the doctor, in order, and their findings without any secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxen_inference.doctor.account_checks import check_account
from oxen_inference.doctor.catalog_checks import check_catalog
from oxen_inference.doctor.findings import Finding, Report
from oxen_inference.doctor.ledger_checks import check_ledger
from oxen_inference.masking import hide, pattern_of, secrets_in

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient


def examine(client: OxenClient) -> Report:
    """Make every check that costs nothing."""
    report = Report()
    report.facts["hub"] = str(client.base_url)
    check_catalog(client, report)
    if client.has_key:
        check_account(client, report)
    else:
        report.skipped.append("errors, lists, events, clock: there is no key")
    check_ledger(client, report)
    return report


def redacted(client: OxenClient, report: Report) -> Report:
    """Return a report without the key and the values of the developer's own headers."""
    secrets = [client.api_key, *secrets_in(client._custom_headers)]
    # A pricing method is shown with underscores for its dashes.
    pattern = pattern_of([*secrets, *(each.replace("-", "_") for each in secrets)])
    if pattern is None:
        return report

    def clean(value: Any) -> Any:
        return hide(value, pattern)

    def cleaned(findings: list[Finding]) -> list[Finding]:
        return [
            Finding(clean(f.check), clean(f.expected), clean(f.seen), clean(f.means))
            for f in findings
        ]

    return Report(
        known=cleaned(report.known),
        deviations=cleaned(report.deviations),
        facts=clean(report.facts),
        skipped=[clean(each) for each in report.skipped],
        unreachable=[clean(each) for each in report.unreachable],
    )
