"""Settings of payments."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import SecretStr, StringConstraints, model_validator

from chassis.settings import Seconds, Settings, WebAddress

ApiBase = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+$")]


class PaymentsSettings(Settings):
    """Settings of every service, and those of payments."""

    payment_provider: Literal["test", "stripe"] = "test"
    """Payment provider of new payments; `test` moves no money. Set it for `orders`, too."""
    stripe_api_key: SecretStr = SecretStr("")
    """Secret key of the Stripe account, `sk_...` or better a restricted `rk_...`."""
    stripe_webhook_secret: SecretStr = SecretStr("")
    """Signing secret of the Stripe webhook endpoint, `whsec_...`. Empty: webhooks are refused."""
    stripe_api_base: ApiBase = "https://api.stripe.com"
    """Address of Stripe's API."""
    bank_confirmation: Seconds = 600.0
    """Time that a buyer has to confirm a payment at the bank; then it is canceled. Shorter than `RESERVATION`."""
    public_url: WebAddress = "http://127.0.0.1:8080"
    """Address of the shop, to whose pages a bank sends the buyer back: `PUBLIC_URL/shop/orders/<id>`."""

    @model_validator(mode="after")
    def _require_key(self) -> Self:
        if self.payment_provider == "stripe" and not self.stripe_api_key.get_secret_value():
            raise ValueError("PAYMENT_PROVIDER=stripe needs STRIPE_API_KEY")
        return self


@cache
def settings() -> PaymentsSettings:
    """Return the settings of this process."""
    return PaymentsSettings.from_environment()
