"""The tables. Their types and CHECKs repeat the laws of `domain/states.py`.

Rows are narrow: a message is rewritten three or four times. Nothing that changes on a message is in an index
or its predicate, so that updates stay HOT. What is due is found by batches, a hundred times fewer.
"""

from campaigns.store.tables.accounts import AccountCurrency, AccountDay, AccountStop, NewHold, Pulse
from campaigns.store.tables.campaigns import (
    Batch,
    Campaign,
    CampaignProgress,
    Message,
    MessageByProviderId,
    Refusal,
)
from campaigns.store.tables.decisions import CampaignHold, Resolution, Suppression
from campaigns.store.tables.keys import ApiKey, Audit, DashboardSession
from campaigns.store.tables.receipts import WaitingReceipt
from campaigns.store.tables.webhooks import AsideEvent, Webhook, WebhookDelivery, WebhookEvent

__all__ = [
    "AccountCurrency",
    "AccountDay",
    "AccountStop",
    "ApiKey",
    "AsideEvent",
    "Audit",
    "Batch",
    "Campaign",
    "CampaignHold",
    "CampaignProgress",
    "DashboardSession",
    "Message",
    "MessageByProviderId",
    "NewHold",
    "Pulse",
    "Refusal",
    "Resolution",
    "Suppression",
    "WaitingReceipt",
    "Webhook",
    "WebhookDelivery",
    "WebhookEvent",
]
