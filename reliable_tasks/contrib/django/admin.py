"""The admin's pages: messages, dead letters and schedules, read from the store.

Whoever may view one of them sees its page; its actions are for those who may change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from reliable_tasks.contrib.django.models import DeadLetter, Message, Schedule
from reliable_tasks.contrib.django.project import project_app
from reliable_tasks.core.clock import moment
from reliable_tasks.core.message import State
from reliable_tasks.errors import ReliableTasksError
from reliable_tasks.store.values import AuditQuery, MessageQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reliable_tasks.app import App
    from reliable_tasks.store.values import Record

    Action = Callable[["App", list[str]], str]

__all__ = ["DeadLetterAdmin", "MessageAdmin", "ScheduleAdmin"]

_PAGE = 100
_TRAIL = 1000
_MAX_TEXT = 500


class Row(NamedTuple):
    """A line of a page: what its box stands for, where its name leads, and its columns."""

    id: str
    link: str
    columns: list[Any]


class Page(NamedTuple):
    """The lines of a page, and where the next one begins."""

    rows: list[Row]
    after: str | None = None


def _link(message_id: str | None) -> str:
    return reverse("admin:reliable_tasks_message_change", args=[message_id]) if message_id else ""


class StoreAdmin(admin.ModelAdmin):
    """A page of rows, with actions on those that are ticked. Nothing is a row of the database."""

    columns: ClassVar[tuple[str, ...]] = ()
    commands: ClassVar[Mapping[str, tuple[str, Action]]] = {}
    filters: ClassVar[tuple[str, ...]] = ()

    def page(self, app: App, given: Mapping[str, str]) -> Page:
        """The rows to show."""
        raise NotImplementedError

    def get_urls(self) -> list[Any]:
        """The list; others of a ModelAdmin's would ask a table that is not there."""
        name = f"reliable_tasks_{self.opts.model_name}_changelist"
        return [path("", self.admin_site.admin_view(self.changelist_view), name=name)]

    def has_add_permission(self, request: Any) -> bool:
        """Nobody: calls are made by programs."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody: there is no row to delete."""
        return False

    def changelist_view(self, request: Any, extra_context: Any = None) -> Any:
        """Show the rows; a POST carries out an action on some of them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request)
        page = Page([])
        try:
            page = self.page(project_app(), request.GET)
        except ReliableTasksError as error:
            self.message_user(request, str(error), messages.ERROR)
        may_act = self.has_change_permission(request)
        context = {
            **self.admin_site.each_context(request),
            "title": str(self.opts.verbose_name_plural).capitalize(),
            "opts": self.opts,
            "columns": self.columns,
            "rows": page.rows,
            "after": page.after,
            "commands": [(n, text) for n, (text, _) in self.commands.items()] if may_act else [],
            "filters": [(name, request.GET.get(name, "")) for name in self.filters],
        }
        return TemplateResponse(request, "admin/reliable_tasks/rows.html", context)

    def _act(self, request: Any) -> Any:
        if not self.has_change_permission(request):
            raise PermissionDenied
        chosen = request.POST.getlist("id")
        _, command = self.commands.get(request.POST.get("command", ""), ("", None))
        if command is None or not chosen:
            self.message_user(request, "Tick some rows and choose an action.", messages.WARNING)
        else:
            try:
                self.message_user(request, command(project_app(), chosen[:_PAGE]))
            except ReliableTasksError as error:
                self.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())


def _counted(words: Iterable[str]) -> str:
    said = list(words)
    return ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))


def _query(given: Mapping[str, str], **fixed: Any) -> MessageQuery:
    asked: dict[str, Any] = {n: given[n] for n in ("queue", "task", "after") if given.get(n)}
    return MessageQuery(limit=_PAGE, **asked, **fixed)


@admin.register(Message)
class MessageAdmin(StoreAdmin):
    """All messages; each has a page with what happened to it."""

    columns = ("task", "state", "queue", "attempt", "worker", "enqueued", "ended")
    filters = ("task", "queue", "state")
    commands = {  # noqa: RUF012 - never changed
        "revoke": ("Revoke", lambda app, ids: _counted(app.control.revoke(ids).values())),
    }

    def get_urls(self) -> list[Any]:
        """The list, and a page for each message."""
        view = self.admin_site.admin_view(self.change_view)
        name = "reliable_tasks_message_change"
        return [*super().get_urls(), path("<path:object_id>/", view, name=name)]

    def page(self, app: App, given: Mapping[str, str]) -> Page:
        """The messages, in the store's order."""
        state = given.get("state", "").lower()
        fixed = {"state": State(state)} if state in set(State) else {}
        records = app.store.find(_query(given, **fixed))
        return Page([self._row(record) for record in records], records.after)

    def _row(self, r: Record) -> Row:
        times = [moment(r.enqueued_ms), moment(r.ended_ms)]
        columns = [r.task, r.state.value, r.queue, r.attempt, r.worker or "", *times]
        return Row(r.id, _link(r.id), columns)

    def change_view(
        self, request: Any, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """One message: its fields and its trail."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            app = project_app()
            record = app.store.read([object_id], full=True)[0]
            trail = app.store.audit(AuditQuery(id=object_id, limit=_TRAIL))
        except ReliableTasksError as error:
            raise Http404(str(error)) from error
        if record is None:
            raise Http404(f"the store knows no message {object_id!r}")
        row = self._row(record)
        handle = app.AsyncResult(object_id)
        handle.found(record)
        fields = {
            **dict(zip(self.columns, row.columns, strict=True)),
            "reason": record.reason,
            "once key": record.once_key,
            "arguments": _shown(lambda: (handle.args, handle.kwargs)),
            "result": _shown(lambda: handle.result),
            "traceback": _shown(lambda: handle.traceback, str),
        }
        relatives = {"root": record.root_id, "parent": record.parent_id}
        context = {
            **self.admin_site.each_context(request),
            "title": object_id,
            "opts": self.opts,
            "fields": {name: value for name, value in fields.items() if value not in {None, ""}},
            "relatives": {n: (i, _link(i)) for n, i in relatives.items() if i and i != object_id},
            "trail": [(moment(x.at_ms), x.event, x.attempt, x.worker, x.fields) for x in trail],
            "trail_goes_on": trail.after is not None,
        }
        return TemplateResponse(request, "admin/reliable_tasks/message.html", context)


def _shown(value: Callable[[], Any], write: Callable[[Any], str] = repr) -> str:
    """A value as text; it may have been encoded in what is not accepted here."""
    try:
        found = value()
    except ReliableTasksError as error:
        return str(error)
    return "" if found is None or found == (None, None) else write(found)[: _MAX_TEXT * 10]


@admin.register(DeadLetter)
class DeadLetterAdmin(StoreAdmin):
    """Failed messages, which can be replayed."""

    columns = ("task", "queue", "attempts", "reason", "failed")
    filters = ("task", "queue")
    commands = {  # noqa: RUF012 - never changed
        "replay": (
            "Replay",
            lambda app, ids: _counted(each.done for each in app.store.replay(ids)),
        ),
        "drop": ("Drop", lambda app, ids: f"{app.store.drop(ids)} dropped"),
    }

    def page(self, app: App, given: Mapping[str, str]) -> Page:
        """The dead letters, in the store's order."""
        records = app.store.find(_query(given, dead=True))
        rows = [
            Row(r.id, _link(r.id), [r.task, r.queue, r.attempt, r.reason, moment(r.ended_ms)])
            for r in records
        ]
        return Page(rows, records.after)


def _each(method: str, done: str) -> Action:
    def act(app: App, names: list[str]) -> str:
        for name in names:
            getattr(app.schedules, method)(name)
        return f"{len(names)} {done}"

    return act


@admin.register(Schedule)
class ScheduleAdmin(StoreAdmin):
    """Entries of the schedule; their names lead to the message of the last slot."""

    columns = ("task", "schedule", "state", "next run", "last run", "runs", "missed")
    commands = {  # noqa: RUF012 - never changed
        "pause": ("Pause", _each("pause", "paused")),
        "resume": ("Resume", _each("resume", "resumed")),
        "run_now": ("Run now", _each("run_now", "enqueued")),
    }

    def page(self, app: App, given: Mapping[str, str]) -> Page:
        """The entries by name."""
        return Page(
            [
                Row(
                    e.name,
                    _link(e.last_id),
                    [e.task, e.words, e.state, e.next_run, e.last_run, e.runs, e.missed],
                )
                for e in app.schedules.list()
            ]
        )
