"""The supervisor's side of a scene: beats, commits, and what leaves through the ports."""

from __future__ import annotations

from typing import Any

from tidemark.protocol.host_requests import Request
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.events import FleetEvent, WorkersListed

from ..frozen_objects import Frozen
from . import promises as promises
from .host import SmallHost
from .scene import PID, Commits, Line, Scene, Size, in_order
from .supervisor import SmallSupervisor, Turn


class Beats:
    """Makes a scene of a scene and an event. Raises `PromiseBroken` where a promise breaks."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.commits = Commits()
        self._lives: dict[int, SmallSupervisor] = {}
        self._entries: list[r.Entry] = []

    def supervisor(self, scene: Scene) -> SmallSupervisor:
        """This epoch's supervisor, in the state of this scene."""
        supervisor = self._lives[scene.epoch]
        assert scene.mind is not None
        self._entries = self.commits.entries(scene.journal)
        supervisor.load(scene.mind, self._entries, self._connected(scene))
        self._entries = supervisor.store.entries
        return supervisor

    def _connected(self, scene: Scene) -> set[bytes]:
        hosts = {connection(name, scene.epoch) for name in "AB"[: self.size.hosts]}
        return hosts | {token for token, _ in scene.zygote.living}

    def _on_send(self, name: bytes, message: Any) -> None:
        if name[:2] in (b"A-", b"B-"):
            promises.check_to_host("AB".index(chr(name[0])) + 1, message, self._entries)
        else:
            promises.check_to_worker(message, self._entries)

    def take(self, scene: Scene, event: FleetEvent) -> Scene:
        """One beat with one event."""
        return self.spoken(scene, self.supervisor(scene).take(event))

    def spoken(self, scene: Scene, turn: Turn) -> Scene:
        """What a beat has done, put into the scene."""
        journal = scene.journal
        living = {incarnation for _, incarnation in scene.zygote.living}
        for batch in turn.batches:
            promises.check_commit(batch, scene.left, living)
            journal = (*journal, self.commits.number(batch))
        if turn.batches:
            self.commits.check(journal)
        lines = dict(scene.lines)
        for to, message in turn.sent:
            name = chr(to[0]) if to[:2] in (b"A-", b"B-") else to
            if name in scene.lost:
                continue
            line = lines.get(name, Line())
            lines[name] = line._replace(to_peer=(*line.to_peer, message))
        orders = (*scene.zygote.orders, *turn.orders)
        return scene._replace(
            mind=turn.mind,
            journal=journal,
            lines=in_order(lines),
            zygote=scene.zygote._replace(orders=orders),
        )

    def next_life(self, scene: Scene) -> Scene:
        """A new supervisor recovers, and everybody connects to it."""
        epoch = scene.epoch + 1
        self._entries = self.commits.entries(scene.journal)
        life = SmallSupervisor(epoch, self._entries, self._on_send)
        turn = life.first_turn()
        self._lives.setdefault(epoch, life)
        zygote = scene.zygote
        living = tuple((token, PID) for token, _ in zygote.living)
        listed = WorkersListed(living, fresh=epoch == 1)
        # What the one before had ordered was done before this, or never will be.
        zygote = zygote._replace(orders=(), news=(*zygote.ends, listed))
        scene = scene._replace(epoch=epoch, lines=(), lost=(), zygote=zygote)
        scene = self.spoken(scene, turn)
        for frozen in scene.hosts:
            host: SmallHost = frozen.copied()
            scene = self.host_did(scene, host, host.attach())
        return scene

    def host_did(self, scene: Scene, host: SmallHost, requests: list[Request]) -> Scene:
        """A host has changed, and has said this."""
        hosts = list(scene.hosts)
        hosts["AB".index(host.name)] = Frozen(host)
        lines = dict(scene.lines)
        line = lines.get(host.name, Line())
        lines[host.name] = line._replace(to_supervisor=(*line.to_supervisor, *requests))
        return scene._replace(hosts=tuple(hosts), lines=in_order(lines))


def connection(name: str, epoch: int) -> bytes:
    """The name of a host's connection to the supervisor of this epoch."""
    return f"{name}-{epoch}".encode()
