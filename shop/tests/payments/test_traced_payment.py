"""An order with a payment: its trace goes on to the gateway, and no output holds the gateway's secrets."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from otlp_receiver import receiving
from restwell.settings import OtelSettings
from restwell.testing import finish_jobs, running
from shop.app import create_app
from shop.settings import PaymentsSettings, ShopSettings
from shop_client import ShopClient
from stripe_server import KEY, stripe_server

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_the_trace_of_an_order_goes_on_to_the_gateway_and_no_output_holds_its_secrets(
    settings: ShopSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Breaks when the gateway sends no headers of its span, or the span has the URL with the key."""
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
            metrics = (await app.kit.metrics.exposition()).decode()
        sent = [headers.get("traceparent", "") for _, headers, _ in stripe.requests]
        assert [each.split("-")[1] for each in sent] == [TRACE_ID] * len(sent)
        assert len(stripe.movements) == 1
        calls = {f"00-{each['trace_id']}-{each['span_id']}-01" for each in receiver.spans}
        assert set(sent) <= calls
        outputs = [metrics, json.dumps(receiver.spans), repr(lines), *capfd.readouterr()]
    assert "127.0.0.1" in outputs[1]
    assert [secret for secret in (KEY, "pm_card_visa") for output in outputs if secret in output] == []
