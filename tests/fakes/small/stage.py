"""Makes the next scene of the small world: what an action does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidemark.protocol.host_answers import EventGiven, ResumedGiven
from tidemark.protocol.host_requests import CallRef
from tidemark.protocol.zygote_messages import Forget, Fork, Kill
from tidemark.simulation.promise import Promise
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.events import HostAsked, WorkerEnded, WorkerForked, WorkerSpoke
from tidemark.worker.answers import Unbelievable

from ..frozen_objects import Frozen
from . import oblivion as oblivion
from . import promises as promises
from .beats import Beats, connection
from .choices import Choices
from .host import CREATE, SmallHost
from .scene import PID, Action, Line, Scene, Size, Zygote, in_order
from .worker import SmallWorker


class Stage:
    """Makes scenes of scenes. Raises `PromiseBroken` where a promise breaks."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.choices = Choices(size)
        self.beats = Beats(size)
        self.commits = self.beats.commits

    def first(self) -> Scene:
        """Hosts are attached, the zygote is there, and the first host has asked for the cell."""
        size = self.size
        scene = Scene(0, None, (), (), (), (), Zygote(), size.crashes, size.asks, size.hasty)
        for number in range(1, size.hosts + 1):
            scene = scene._replace(
                hosts=(*scene.hosts, Frozen(SmallHost(number, replay=size.replay)))
            )
        scene = self.beats.next_life(scene)
        while moving := [*self.choices.messages(scene), *self.choices.zygote_acts(scene)]:
            scene = self.after(scene, moving[0])
        host: SmallHost = scene.hosts[0].copied()
        return self.beats.host_did(scene, host, host.ask(CREATE, 0))

    def after(self, scene: Scene, action: Action) -> Scene:
        """The scene when this has happened."""
        scene = self._acted(scene, action)
        return self._forgotten(scene) if self.size.eager else scene

    def _forgotten(self, scene: Scene) -> Scene:
        hosts = scene.hosts
        if not scene.asks:
            free = int(self.size.walker)
            hosts = (*hosts[:free], *[oblivion.host_without(each) for each in hosts[free:]])
        is_over = oblivion.over(hosts)
        assert scene.mind is not None
        return scene._replace(
            mind=oblivion.mind_without(scene.mind, is_over),
            hosts=hosts,
            workers=tuple(
                [(each, oblivion.worker_without(worker, is_over)) for each, worker in scene.workers]
            ),
        )

    def told_apart_by(self, scene: Scene) -> frozenset[int]:
        """What stands for the scene's journal when scenes are compared."""
        nobody = oblivion.over(scene.hosts) if self.size.eager else lambda ref: False
        return self.commits.written(scene.journal, nobody)

    def _acted(self, scene: Scene, action: Action) -> Scene:
        verb, *rest = action
        match verb:
            case "asks":
                return self._ask(scene, *rest)
            case "returns":
                return self._return(scene, *rest)
            case "reads":
                return self._read(scene, *rest)
            case "hears":
                return self._hear(scene, *rest)
            case "loses":
                return self._lose(scene, *rest)
            case "thinks":
                return self._think(scene, *rest)
            case "obeys":
                return self._obey(scene)
            case "is told":
                news = scene.zygote.news
                scene = scene._replace(zygote=scene.zygote._replace(news=news[1:]))
                return self.beats.take(scene, news[0])
            case "time is up":
                cell, moment, hurried = rest
                turn = self.beats.supervisor(scene).due(cell, moment)
                return self.beats.spoken(scene._replace(hasty=scene.hasty - hurried), turn)
            case "flushes":
                return self.beats.spoken(scene, self.beats.supervisor(scene).flush())
            case "dies":
                return self._die(scene, *rest)
        raise AssertionError(f"no such action: {action}")

    def _ask(self, scene: Scene, number: int, ask: Any) -> Scene:
        host: SmallHost = scene.hosts[number].copied()
        requests = host.ask(ask, scene.resumed)
        walks = self.size.walker and number == 0
        asks = scene.asks if walks else scene.asks - 1
        scene = self.beats.host_did(scene._replace(asks=asks), host, requests)
        return self._read(scene, host.name) if self.size.eager else scene

    def _return(self, scene: Scene, number: int, call: CallRef) -> Scene:
        host: SmallHost = scene.hosts[number].copied()
        scene = self.beats.host_did(scene, host, host.returned(call))
        return self._read(scene, host.name) if self.size.eager else scene

    def _lose(self, scene: Scene, name: str) -> Scene:
        """The supervisor will die before anything more comes through to this host."""
        lines = dict(scene.lines)
        lines[name] = lines[name]._replace(to_peer=())
        return scene._replace(lines=in_order(lines), lost=tuple(sorted({*scene.lost, name})))

    def _host_hears(self, scene: Scene, name: str, message: Any) -> Scene:
        host: SmallHost = scene.hosts["AB".index(name)].copied()
        requests, replies = host.hear(message)
        promises.check_runs(host)
        for reply in replies:
            promises.check_reply(host, reply)
            host.learn(reply)
            scene = _told(scene, reply.answer)
        scene = self.beats.host_did(scene, host, requests)
        if host.cell:
            scene = scene._replace(hosts=tuple(_knowing(scene.hosts, host.cell)))
        return scene

    def _read(self, scene: Scene, name: Any) -> Scene:
        lines = dict(scene.lines)
        message, *rest = lines[name].to_supervisor
        lines[name] = lines[name]._replace(to_supervisor=tuple(rest))
        scene = scene._replace(lines=in_order(lines))
        if isinstance(name, str):
            return self.beats.take(scene, HostAsked(connection(name, scene.epoch), message))
        return self.beats.take(scene, WorkerSpoke(name, message))

    def _hear(self, scene: Scene, name: Any) -> Scene:
        lines = dict(scene.lines)
        message, *rest = lines[name].to_peer
        lines[name] = lines[name]._replace(to_peer=tuple(rest))
        scene = scene._replace(lines=in_order(lines))
        if isinstance(name, str):
            return self._host_hears(scene, name, message)
        worker: SmallWorker = dict(scene.workers)[name].copied()
        try:
            worker.hear(message)
        except Unbelievable as error:
            promises.broken(Promise.BELIEVABLE, error)
        return self._worker_did(scene, name, worker)

    def _think(self, scene: Scene, token: bytes) -> Scene:
        worker: SmallWorker = dict(scene.workers)[token].copied()
        worker.think()
        return self._worker_did(scene, token, worker)

    def _worker_did(self, scene: Scene, token: bytes, worker: SmallWorker) -> Scene:
        sent, worker.speaker.sent = worker.speaker.sent, []
        worker.speaker.stream.ignored = 0  # it is only counted
        lines = dict(scene.lines)
        line = lines.get(token, Line())
        lines[token] = line._replace(to_supervisor=(*line.to_supervisor, *sent))
        workers = {**dict(scene.workers), token: Frozen(worker)}
        scene = scene._replace(
            lines=in_order(lines),
            workers=tuple([(name, workers[name]) for name in sorted(workers)]),
            left=max(scene.left, worker.left),
        )
        return _ended(scene, token, 0, killed=False) if worker.is_over else scene

    def _obey(self, scene: Scene) -> Scene:
        order, *rest = scene.zygote.orders
        zygote = scene.zygote._replace(orders=tuple(rest))
        scene = scene._replace(zygote=zygote)
        match order:
            case Fork():
                living = (*zygote.living, (order.token, order.incarnation))
                news = (*zygote.news, WorkerForked(order.token, PID))
                scene = scene._replace(zygote=zygote._replace(living=living, news=news))
                worker = SmallWorker(order, self.size.generations)
                return self._worker_did(scene, order.token, worker)
            case Kill():
                return _ended(scene, order.token, -9, killed=True)
            case Forget():
                ends = tuple(end for end in zygote.ends if end.token != order.token)
                return scene._replace(zygote=zygote._replace(ends=ends))
        raise AssertionError(f"the zygote does not know {order}")

    def _die(self, scene: Scene, who: Any) -> Scene:
        scene = scene._replace(crashes=scene.crashes - 1)
        if who == "supervisor":
            return self.beats.next_life(scene)
        return _ended(scene, who, -9, killed=False)

    def is_settled(self, scene: Scene) -> bool:
        """Whether nothing is under way: everybody has his answers, and no worker is left over."""
        if self.choices.messages(scene) or self.choices.zygote_acts(scene) or scene.lost:
            return False
        if any(host.seen.core.waits for host in scene.hosts):
            return False
        final = any(
            isinstance(entry.record, (r.CellCompleted, r.CellTerminated))
            for entry in self.commits.entries(scene.journal)
        )
        return not (final and scene.zygote.living)


def _told(scene: Scene, answer: Any) -> Scene:
    if isinstance(answer, ResumedGiven):
        return scene._replace(resumed=max(scene.resumed, answer.generation))
    if isinstance(answer, EventGiven):
        received = scene.received
        for item in answer.event.output:
            received |= 1 << item.index
        promises.check_received(received, answer.event)
        return scene._replace(received=received)
    return scene


def _ended(scene: Scene, token: bytes, status: int, *, killed: bool) -> Scene:
    """A worker's process is gone; what it has sent is still on its way."""
    zygote = scene.zygote
    if token not in dict(zygote.living):
        return scene
    end = WorkerEnded(token, status, killed)
    zygote = zygote._replace(
        living=tuple(each for each in zygote.living if each[0] != token),
        news=(*zygote.news, end),
        ends=(*zygote.ends, end),
    )
    lines = dict(scene.lines)
    lines[token] = lines.get(token, Line())._replace(to_peer=())
    workers = tuple(each for each in scene.workers if each[0] != token)
    return scene._replace(zygote=zygote, lines=in_order(lines), workers=workers)


def _knowing(hosts: tuple[Frozen, ...], cell: str) -> Iterator[Frozen]:
    """The hosts when the first has told the others of its cell."""
    for frozen in hosts:
        if frozen.seen.cell:
            yield frozen
        else:
            host: SmallHost = frozen.copied()
            host.cell = cell
            yield Frozen(host)
