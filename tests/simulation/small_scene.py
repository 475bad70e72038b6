"""One state of the small world, and everything that can happen in it.

A `Scene` is a value. `Stage` knows which actions a scene has and makes the scene after each; nothing
else changes. Messages of one connection keep their order, and whatever else can be late, is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from tidemark.protocol.host_answers import EventGiven, ResumedGiven
from tidemark.protocol.host_requests import CallRef, Request, Terminate
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.zygote_messages import Forget, Fork, Kill
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.events import (
    FleetEvent,
    HostAsked,
    WorkerEnded,
    WorkerForked,
    WorkersListed,
    WorkerSpoke,
)
from tidemark.worker.answers import Unbelievable

from fakes.frozen_objects import Frozen, Numbered

from . import small_oblivion as oblivion
from . import small_promises as promises
from .small_host import CREATE, SmallHost
from .small_supervisor import Mind, SmallSupervisor, Turn, due_moments
from .small_worker import SmallWorker

Action: TypeAlias = tuple[Any, ...]
PID = os.getpid()


@dataclass(frozen=True)
class Size:
    """How small the world is.

    Attributes:
        walker: the first host follows the cell to its end, one `Step` per frontier that it sees.
        asks: how many requests the others make, any of them, at any time.
        hasty: how many timers may run out while messages are on their way.
        replay: whether a lost worker's cell is run again.
        eager: leave out orders that make no difference (see `Stage.first_things`).
    """

    hosts: int = 2
    generations: int = 2
    crashes: int = 1
    walker: bool = True
    asks: int = 1
    hasty: int = 0
    replay: bool = True
    eager: bool = True


class Line(NamedTuple):
    """One connection: what is on its way, oldest first."""

    to_supervisor: tuple[Any, ...] = ()
    to_peer: tuple[Any, ...] = ()


class Zygote(NamedTuple):
    """What it was told, what it has to tell, who lives, and which ends nobody has noted."""

    orders: tuple[Any, ...] = ()
    news: tuple[FleetEvent, ...] = ()
    living: tuple[tuple[bytes, Incarnation], ...] = ()
    ends: tuple[WorkerEnded, ...] = ()


class Scene(NamedTuple):
    """A state of the world.

    Attributes:
        journal: the numbers of its commits.
        lines: by the host's name or the worker's token.
        crashes, asks, hasty: how many are left.
        resumed: the highest generation of which a host was told that it was resumed.
        received: which output items some host has had, as bits.
        left: the highest generation that a worker has left.
        lost: hosts to which nothing comes through any more before the supervisor dies.
    """

    epoch: int
    mind: Mind | None
    journal: tuple[int, ...]
    lines: tuple[tuple[Any, Line], ...]
    hosts: tuple[Frozen, ...]
    workers: tuple[tuple[bytes, Frozen], ...]
    zygote: Zygote
    crashes: int
    asks: int
    hasty: int
    resumed: int = 0
    received: int = 0
    left: int = 0
    lost: tuple[str, ...] = ()


class Commits:
    """Every commit that was ever made, by number; and every entry of them."""

    def __init__(self) -> None:
        self._batches = Numbered()
        self._entries = Numbered()
        self._of_batch: list[tuple[int, ...]] = []
        self._checked: set[tuple[int, ...]] = set()

    @property
    def count(self) -> int:
        """How many different ones there were."""
        return len(self._of_batch)

    def number(self, batch: tuple[r.Entry, ...]) -> int:
        """The commit's number."""
        found = self._batches.number(batch)
        if found == len(self._of_batch):
            self._of_batch.append(tuple([self._entries.number(entry) for entry in batch]))
        return found

    def entries(self, journal: tuple[int, ...]) -> list[r.Entry]:
        """A whole journal."""
        return [entry for number in journal for entry in self._batches[number]]

    def written(self, journal: tuple[int, ...], is_over: oblivion.IsOver) -> frozenset[int]:
        """What a journal tells, in whatever order and in how many commits it was written.

        What order has done to the facts is in the facts.
        """
        return frozenset(
            [self._plain(each, is_over) for number in journal for each in self._of_batch[number]]
        )

    def _plain(self, number: int, is_over: oblivion.IsOver) -> int:
        entry = self._entries[number]
        record = oblivion.record_without(entry.record, is_over)
        same = record is entry.record
        return number if same else self._entries.number(entry.__class__("", record, ()))

    def check(self, journal: tuple[int, ...]) -> None:
        """Look at a journal that has grown."""
        if journal not in self._checked:
            promises.check_journal([self._batches[number] for number in journal])
            self._checked.add(journal)


class Stage:
    """Makes scenes of scenes. Raises `PromiseBroken` where a promise breaks."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.commits = Commits()
        self._lives: dict[int, SmallSupervisor] = {}
        self._entries: list[r.Entry] = []

    # -- the first scene --------------------------------------------------------------------------

    def first(self) -> Scene:
        """Hosts are attached, the zygote is there, and the first host has asked for the cell."""
        size = self.size
        scene = Scene(0, None, (), (), (), (), Zygote(), size.crashes, size.asks, size.hasty)
        for number in range(1, size.hosts + 1):
            scene = scene._replace(
                hosts=(*scene.hosts, Frozen(SmallHost(number, replay=size.replay)))
            )
        scene = self._next_life(scene)
        while moving := [*self._messages(scene), *self._zygote_acts(scene)]:
            scene = self.after(scene, moving[0])
        host: SmallHost = scene.hosts[0].copied()
        return self._host_did(scene, host, host.ask(CREATE, 0))

    # -- what can happen --------------------------------------------------------------------------

    def actions(self, scene: Scene) -> list[Action]:
        """Everything that can happen now."""
        if self.size.eager and (first := self.first_things(scene)):
            return first
        moving = [*self._messages(scene), *self._zygote_acts(scene)]
        actions = moving + self._host_acts(scene)
        if not moving or scene.hasty:
            actions += self._time_acts(scene, hurried=bool(moving))
        return actions + self._deaths(scene)

    def _deaths(self, scene: Scene) -> list[Action]:
        actions: list[Action] = [("dies", "supervisor")] if scene.crashes else []
        if scene.crashes > bool(scene.lost):  # one is the supervisor's
            actions += [("dies", token) for token, _ in scene.zygote.living]
        return actions

    def first_things(self, scene: Scene) -> list[Action]:
        """What can be left out of the interleavings: it makes no difference to anybody else.

        Hosts hear a message when it is sent, or never, because the supervisor dies before. Workers
        hear theirs when they are sent, but for what their own other thread and deaths do before.
        (And what a host says is read when it is said, in `_ask` and `_return`: said earlier it is
        the same, and said to a supervisor that dies it is repeated as if it were said then.)
        """
        for name, line in scene.lines:
            if line.to_peer and isinstance(name, str):
                actions: list[Action] = [("hears", name)]
                return [*actions, ("loses", name)] if scene.crashes else actions
        for name, line in scene.lines:
            if line.to_peer:
                thinks = [each for each in self._messages(scene) if each == ("thinks", name)]
                return [("hears", name), *thinks, *self._deaths(scene)]
        return self._first_of_machine(scene)

    def _first_of_machine(self, scene: Scene) -> list[Action]:
        """Orders that only a dying supervisor can prevent, and what nobody else can notice."""
        zygote = scene.zygote
        deaths = self._deaths(scene)
        if zygote.orders and not isinstance(zygote.orders[0], Kill):
            return [("obeys",), *deaths]
        for number, frozen in enumerate(scene.hosts):
            host: SmallHost = frozen.seen
            # Without a session nothing waits for this host to be attached but its own requests.
            if number and host.is_attaching and _is_busy(scene, host.name):
                return [("reads", host.name), *deaths]
        attaching = any(frozen.seen.is_attaching for frozen in scene.hosts)
        if zygote.news and isinstance(zygote.news[0], WorkerForked) and not attaching:
            ends = [each for each in self._host_acts(scene) if _terminates(each)]
            return [("is told",), *ends, *deaths]
        return []

    def _messages(self, scene: Scene) -> list[Action]:
        actions: list[Action] = []
        for name, line in scene.lines:
            if line.to_supervisor:
                actions.append(("reads", name))
            if line.to_peer:
                actions.append(("hears", name))
        for token, worker in scene.workers:
            if worker.seen.is_awake:
                actions.append(("thinks", token))
        return actions

    def _zygote_acts(self, scene: Scene) -> list[Action]:
        zygote = scene.zygote
        actions: list[Action] = [("obeys",)] if zygote.orders else []
        if zygote.news:
            event = zygote.news[0]
            lines = dict(scene.lines)
            # What a worker said before it ended is read before its end is.
            ended = isinstance(event, WorkerEnded)
            if not (ended and event.token in lines and lines[event.token].to_supervisor):
                actions.append(("is told",))
        return actions

    def _host_acts(self, scene: Scene) -> list[Action]:
        actions: list[Action] = []
        for number, frozen in enumerate(scene.hosts):
            host: SmallHost = frozen.seen
            if self.size.eager and (host.is_attaching or _is_busy(scene, host.name)):
                continue  # it can as well happen afterwards
            actions += [("returns", number, call) for call in host.running]
            if host.asked or not host.cell:
                continue
            if self.size.walker and number == 0:
                actions += [("asks", 0, ask) for ask in host.walk()]
            elif scene.asks:
                actions += [("asks", number, ask) for ask in host.menu(self.size.generations)]
        return actions

    def _time_acts(self, scene: Scene, *, hurried: bool) -> list[Action]:
        if scene.mind is None:
            return []
        actions: list[Action] = [
            ("time is up", name, moment, hurried)
            for name, facts in scene.mind.cells
            for moment in due_moments(facts.seen)
        ]
        if scene.mind.lazy and scene.crashes and not hurried:
            actions.append(("flushes",))
        return actions

    # -- and what is then -------------------------------------------------------------------------

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
                return self._beat(scene, news[0])
            case "time is up":
                cell, moment, hurried = rest
                turn = self._supervisor(scene).due(cell, moment)
                return self._spoken(scene._replace(hasty=scene.hasty - hurried), turn)
            case "flushes":
                return self._spoken(scene, self._supervisor(scene).flush())
            case "dies":
                return self._die(scene, *rest)
        raise AssertionError(f"no such action: {action}")

    # -- the supervisor ---------------------------------------------------------------------------

    def _supervisor(self, scene: Scene) -> SmallSupervisor:
        supervisor = self._lives[scene.epoch]
        assert scene.mind is not None
        self._entries = self.commits.entries(scene.journal)
        supervisor.load(scene.mind, self._entries, self._connected(scene))
        self._entries = supervisor.store.entries
        return supervisor

    def _connected(self, scene: Scene) -> set[bytes]:
        hosts = {_connection(name, scene.epoch) for name in "AB"[: self.size.hosts]}
        return hosts | {token for token, _ in scene.zygote.living}

    def _on_send(self, name: bytes, message: Any) -> None:
        if name[:2] in (b"A-", b"B-"):
            promises.check_to_host("AB".index(chr(name[0])) + 1, message, self._entries)
        else:
            promises.check_to_worker(message, self._entries)

    def _beat(self, scene: Scene, event: FleetEvent) -> Scene:
        return self._spoken(scene, self._supervisor(scene).take(event))

    def _spoken(self, scene: Scene, turn: Turn) -> Scene:
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
            lines=_in_order(lines),
            zygote=scene.zygote._replace(orders=orders),
        )

    def _next_life(self, scene: Scene) -> Scene:
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
        scene = self._spoken(scene, turn)
        for frozen in scene.hosts:
            host: SmallHost = frozen.copied()
            scene = self._host_did(scene, host, host.attach())
        return scene

    # -- hosts ------------------------------------------------------------------------------------

    def _host_did(self, scene: Scene, host: SmallHost, requests: list[Request]) -> Scene:
        hosts = list(scene.hosts)
        hosts["AB".index(host.name)] = Frozen(host)
        lines = dict(scene.lines)
        line = lines.get(host.name, Line())
        lines[host.name] = line._replace(to_supervisor=(*line.to_supervisor, *requests))
        return scene._replace(hosts=tuple(hosts), lines=_in_order(lines))

    def _ask(self, scene: Scene, number: int, ask: Any) -> Scene:
        host: SmallHost = scene.hosts[number].copied()
        requests = host.ask(ask, scene.resumed)
        walks = self.size.walker and number == 0
        asks = scene.asks if walks else scene.asks - 1
        scene = self._host_did(scene._replace(asks=asks), host, requests)
        return self._read(scene, host.name) if self.size.eager else scene

    def _return(self, scene: Scene, number: int, call: CallRef) -> Scene:
        host: SmallHost = scene.hosts[number].copied()
        scene = self._host_did(scene, host, host.returned(call))
        return self._read(scene, host.name) if self.size.eager else scene

    def _lose(self, scene: Scene, name: str) -> Scene:
        """The supervisor will die before anything more comes through to this host."""
        lines = dict(scene.lines)
        lines[name] = lines[name]._replace(to_peer=())
        return scene._replace(lines=_in_order(lines), lost=tuple(sorted({*scene.lost, name})))

    def _host_hears(self, scene: Scene, name: str, message: Any) -> Scene:
        host: SmallHost = scene.hosts["AB".index(name)].copied()
        requests, replies = host.hear(message)
        promises.check_runs(host)
        for reply in replies:
            promises.check_reply(host, reply)
            host.learn(reply)
            scene = self._told(scene, reply.answer)
        scene = self._host_did(scene, host, requests)
        if host.cell:
            scene = scene._replace(hosts=tuple(_knowing(scene.hosts, host.cell)))
        return scene

    def _told(self, scene: Scene, answer: Any) -> Scene:
        if isinstance(answer, ResumedGiven):
            return scene._replace(resumed=max(scene.resumed, answer.generation))
        if isinstance(answer, EventGiven):
            received = scene.received
            for item in answer.event.output:
                received |= 1 << item.index
            promises.check_received(received, answer.event)
            return scene._replace(received=received)
        return scene

    # -- workers and the zygote -------------------------------------------------------------------

    def _read(self, scene: Scene, name: Any) -> Scene:
        lines = dict(scene.lines)
        message, *rest = lines[name].to_supervisor
        lines[name] = lines[name]._replace(to_supervisor=tuple(rest))
        scene = scene._replace(lines=_in_order(lines))
        if isinstance(name, str):
            return self._beat(scene, HostAsked(_connection(name, scene.epoch), message))
        return self._beat(scene, WorkerSpoke(name, message))

    def _hear(self, scene: Scene, name: Any) -> Scene:
        lines = dict(scene.lines)
        message, *rest = lines[name].to_peer
        lines[name] = lines[name]._replace(to_peer=tuple(rest))
        scene = scene._replace(lines=_in_order(lines))
        if isinstance(name, str):
            return self._host_hears(scene, name, message)
        worker: SmallWorker = dict(scene.workers)[name].copied()
        try:
            worker.hear(message)
        except Unbelievable as error:
            promises.broken("A worker never hears what cannot be", error)
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
            lines=_in_order(lines),
            workers=tuple([(name, workers[name]) for name in sorted(workers)]),
            left=max(scene.left, worker.left),
        )
        return self._ended(scene, token, 0, killed=False) if worker.is_over else scene

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
                return self._ended(scene, order.token, -9, killed=True)
            case Forget():
                ends = tuple(end for end in zygote.ends if end.token != order.token)
                return scene._replace(zygote=zygote._replace(ends=ends))
        raise AssertionError(f"the zygote does not know {order}")

    def _ended(self, scene: Scene, token: bytes, status: int, *, killed: bool) -> Scene:
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
        return scene._replace(zygote=zygote, lines=_in_order(lines), workers=workers)

    def _die(self, scene: Scene, who: Any) -> Scene:
        scene = scene._replace(crashes=scene.crashes - 1)
        if who == "supervisor":
            return self._next_life(scene)
        return self._ended(scene, who, -9, killed=False)

    # -- rest -------------------------------------------------------------------------------------

    def is_settled(self, scene: Scene) -> bool:
        """Whether nothing is under way: everybody has his answers, and no worker is left over."""
        if self._messages(scene) or self._zygote_acts(scene) or scene.lost:
            return False
        if any(host.seen.core.waits for host in scene.hosts):
            return False
        final = any(
            isinstance(entry.record, (r.CellCompleted, r.CellTerminated))
            for entry in self.commits.entries(scene.journal)
        )
        return not (final and scene.zygote.living)


def _connection(name: str, epoch: int) -> bytes:
    return f"{name}-{epoch}".encode()


def _terminates(action: Action) -> bool:
    return action[0] == "asks" and isinstance(action[2], Terminate)


def _is_busy(scene: Scene, name: str) -> bool:
    """Whether something that this host has said is not read yet."""
    return any(each == name and line.to_supervisor for each, line in scene.lines)


def _in_order(lines: dict[Any, Line]) -> tuple[tuple[Any, Line], ...]:
    busy = [(name, line) for name, line in lines.items() if line.to_supervisor or line.to_peer]
    return tuple(sorted(busy, key=lambda each: (isinstance(each[0], bytes), each[0])))


def _knowing(hosts: tuple[Frozen, ...], cell: str) -> Iterator[Frozen]:
    """The hosts when the first has told the others of its cell."""
    for frozen in hosts:
        if frozen.seen.cell:
            yield frozen
        else:
            host: SmallHost = frozen.copied()
            host.cell = cell
            yield Frozen(host)
