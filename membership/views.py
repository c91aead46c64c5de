"""A member's view, and who is told when it changes: the same for all kinds of membership."""

from __future__ import annotations

from collections.abc import Callable

from membership.port import ClusterView, ViewCallback


class Views:
    """Base class: `view` and `subscribe` of the port."""

    _view: ClusterView
    _callbacks: list[ViewCallback]

    def view(self) -> ClusterView:
        """See the port."""
        return self._view

    def subscribe(self, callback: ViewCallback) -> Callable[[], None]:
        """See the port."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe
