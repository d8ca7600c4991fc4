"""What most providers do not have, said once: an adapter overrides what its own has."""

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import StopListEntry


class BaseAdapter:
    """Answers every question of `campaigns.domain.provider.Provider` that few providers can answer.

    A subclass says its company's name, for the sentences.
    """

    company: str

    async def prepare(self) -> None:
        """Nothing needs to be done before a hand-over."""

    async def callbacks_registered(self, url: str) -> bool | None:
        """None: it is told with each message where to call, or calls nobody."""
        return None

    async def register_callbacks(self, url: str) -> bool:
        """Nowhere to register. Raises ProviderRefused."""
        raise ProviderRefused(f"{self.company} keeps no address to call back: none is to be registered.")

    async def find_on_stop_list(self, phone: str) -> StopListEntry | None:
        """Nothing to ask. Raises ProviderRefused."""
        raise ProviderRefused(f"{self.company} has no blacklist that can be asked.")
