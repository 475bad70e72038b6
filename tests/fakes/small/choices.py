"""Everything that can happen in a scene of the small world."""

from __future__ import annotations

from tidemark.protocol.host_requests import Terminate
from tidemark.protocol.zygote_messages import Kill
from tidemark.supervisor.core.events import WorkerEnded, WorkerForked

from .host import SmallHost
from .scene import Action, Scene, Size
from .supervisor import due_moments


class Choices:
    """Which actions a scene has."""

    def __init__(self, size: Size) -> None:
        self.size = size

    def actions(self, scene: Scene) -> list[Action]:
        """Everything that can happen now."""
        if self.size.eager and (first := self.first_things(scene)):
            return first
        moving = [*self.messages(scene), *self.zygote_acts(scene)]
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
        hear theirs when they are sent, but for what their own other thread and deaths do before;
        what one says that is being killed by its supervisor is dropped, so it may hear before that.
        (And what a host says is read when it is said, in `_ask` and `_return`: said earlier it is
        the same, and said to a supervisor that dies it is repeated as if it were said then.)
        """
        for name, line in scene.lines:
            if line.to_peer and isinstance(name, str):
                actions: list[Action] = [("hears", name)]
                return [*actions, ("loses", name)] if scene.crashes else actions
        for name, line in scene.lines:
            if line.to_peer:
                thinks = [each for each in self.messages(scene) if each == ("thinks", name)]
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

    def messages(self, scene: Scene) -> list[Action]:
        """What somebody has said or noticed and nobody has taken up."""
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

    def zygote_acts(self, scene: Scene) -> list[Action]:
        """What the zygote was told, or has to tell."""
        zygote = scene.zygote
        actions: list[Action] = [("obeys",)] if zygote.orders else []
        if zygote.news:
            event = zygote.news[0]
            lines = dict(scene.lines)
            # What a worker said before it ended is read before its end is.
            token = event.token if isinstance(event, WorkerEnded) else None
            if token not in lines or not lines[token].to_supervisor:
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


def _terminates(action: Action) -> bool:
    return action[0] == "asks" and isinstance(action[2], Terminate)


def _is_busy(scene: Scene, name: str) -> bool:
    """Whether something that this host has said is not read yet."""
    return any(each == name and line.to_supervisor for each, line in scene.lines)
