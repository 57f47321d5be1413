"""An order with a payment: its trace goes on to the gateway, and no output holds the gateway's secrets."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import column, select, table
from structlog.testing import capture_logs

from otlp_receiver import receiving
from restwell.database import query
from restwell.settings import OtelSettings
from restwell.testing import finish_jobs, running
from shop.app import create_app
from shop.settings import PaymentsSettings, ShopSettings
from shop_client import ShopClient
from stripe_server import KEY, stripe_server

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
jobs = table("jobs", column("name"), column("arguments"), column("result"))
job_rows = query("payment.jobs", select(jobs).limit(100), into=dict)


@pytest.mark.slow
async def test_the_trace_of_an_order_goes_on_to_the_gateway_and_no_output_holds_its_secrets(
    settings: ShopSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Fails if the gateway sends no headers of its span, or if an attribute of the span or a log line has the key."""
    with stripe_server() as stripe, receiving(tmp_path) as receiver, capture_logs() as lines:
        payments = PaymentsSettings(url=SecretStr(stripe.url))
        otel = OtelSettings(exporter_otlp_endpoint=receiver.url, traces_sampler_arg=1.0)
        app = create_app(settings.model_copy(update={"payments": payments, "otel": otel}))
        async with running(app) as client:
            customer = await ShopClient(client).sign_in("customer1@shop.example")
            product = await customer.first_product()
            client.headers["traceparent"] = f"00-{TRACE_ID}-00f067aa0ba902b7-00"
            assert (await customer.order("k", (product["id"], 1))).status_code == 201
            await finish_jobs(app)
            outputs = {
                "metrics": (await app.kit.metrics.exposition()).decode(),
                "reports": str(app.kit.metrics.reports.own()),
                "jobs": str(await app.kit.database.all(job_rows)),
            }
        sent = [headers.get("traceparent", "") for _, headers, _ in stripe.requests]
        assert [each.split("-")[1] for each in sent] == [TRACE_ID] * len(sent)
        assert len(stripe.movements) == 1
        calls = {f"00-{each['trace_id']}-{each['span_id']}-01" for each in receiver.spans}
        assert set(sent) <= calls
        outputs |= {"traces": json.dumps(receiver.spans), "logs": "\n".join([repr(lines), *capfd.readouterr()])}
    assert "127.0.0.1" in outputs["traces"]
    assert "/v1/orders" in outputs["reports"]
    assert '"event":"request"' in outputs["logs"]
    assert "'arguments'" in outputs["jobs"]
    leaked = [(name, secret) for name, text in outputs.items() for secret in (KEY, "pm_card_visa") if secret in text]
    assert leaked == []
