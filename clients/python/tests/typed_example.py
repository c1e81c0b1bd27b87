"""A program as a caller writes it. mypy checks it with all strict rules; the tests don't run it."""

from __future__ import annotations

import datetime

import sealward
import sealward.aio
from sealward import mail_v1, v1


def store(client: sealward.Client, password: str) -> str:
    request = mail_v1.CreateMailboxRequest(
        parent="organizations/default",
        mailbox=mail_v1.Mailbox(
            display_name="Sales",
            password=password,
            incoming_email_delivery_method=mail_v1.Mailbox.INCOMING_EMAIL_DELIVERY_METHOD_SERVER_SIDE_SYNC,
        ),
    )
    mailbox: mail_v1.Mailbox = client.mailboxes.create_mailbox(request, timeout=5)
    return mailbox.name


def names(client: sealward.Client) -> list[str]:
    request = mail_v1.ListMailboxesRequest(parent="organizations/default", filter="is_password_set = true")
    return [mailbox.display_name for mailbox in client.mailboxes.list_all_mailboxes(request)]


def explain(error: sealward.SealwardError) -> tuple[str, datetime.timedelta | None]:
    if error.reason == v1.ERROR_REASON_FIELD_INVALID:
        return ", ".join(f"{violation.field} {violation.reason}" for violation in error.field_violations), None
    return error.reason_name or error.code.name, error.retry_delay


def load(client: sealward.Client, names: list[str]) -> list[str]:
    mailboxes = [mail_v1.CreateMailboxRequest(mailbox=mail_v1.Mailbox(display_name=name)) for name in names]
    request = mail_v1.ImportMailboxesRequest(parent="organizations/default", requests=mailboxes)
    with client.mailboxes.import_mailboxes([request]) as responses:
        results = [result for response in responses for result in response.results]
    return [explain(sealward.item_error(result.error))[0] for result in results if result.HasField("error")]


async def reveal(endpoint: str, name: str, source: sealward.AsyncTokenSource) -> str:
    async with sealward.aio.connect(endpoint, ca="ca.pem", token_source=source) as client:
        values: dict[str, sealward.Secret] = await client.reveal_attributes(name, ["password"], purpose="incoming mail")
        return values["password"].expose_text()


async def change(client: sealward.aio.Client, organization: str) -> str:
    changed = await client.change_key(organization, sealward.generate_key_text())
    async for progress in changed:
        done: int = progress.cells_done
        print(f"{done} of {progress.cells_total}")
    return changed.fingerprint
