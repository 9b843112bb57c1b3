"""`solar`: schedules that follow the sun; needs astral, the extra `solar`.

astral knows where the sun stands; the search for the next event is done here, because it has to
give each event of a place exactly once. Days are counted from one solar midnight to the next, so
that each has at most one of each event, wherever the calendar's midnight falls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from math import degrees
from typing import Any, Final, Self

from reliable_tasks.beat.schedules import BaseSchedule
from reliable_tasks.errors import BadSchedule, suggest

__all__ = ["solar"]

# How far below the horizon the sun's centre is, in degrees, and whether it is rising. At sunrise
# and sunset, refraction (34 minutes of arc) and the radius (16) lift its edge to the horizon.
_EVENTS: Final[Mapping[str, tuple[float, bool] | None]] = {
    "dawn_astronomical": (18.0, True),
    "dawn_nautical": (12.0, True),
    "dawn_civil": (6.0, True),
    "sunrise": (50 / 60, True),
    "solar_noon": None,
    "sunset": (50 / 60, False),
    "dusk_civil": (6.0, False),
    "dusk_nautical": (12.0, False),
    "dusk_astronomical": (18.0, False),
}
_SEARCH_DAYS = 367  # every event takes place at least once a year, at the poles too
_NEAREST_TO_POLE = 89.8  # degrees; at the pole itself all directions are one
_MINUTES_PER_DEGREE = 4.0  # the earth's turning
_NOON = 720.0  # minutes
_ROUNDS = 3  # then within seconds of an ephemeris; where a season ends, within minutes
_DAY = timedelta(days=1)


@dataclass(unsafe_hash=True, init=False, repr=False)
class solar(BaseSchedule):  # noqa: N801 - Celery's name
    """Slots at each day's event of the sun, to the second; days without the event have no slot.

    Args:
        event: `dawn_astronomical`, `dawn_nautical`, `dawn_civil`, `sunrise`, `solar_noon`,
            `sunset`, `dusk_civil`, `dusk_nautical` or `dusk_astronomical`.
        lat: latitude in degrees, north is positive.
        lon: longitude in degrees, east is positive.
        nowfun: see `BaseSchedule`.
        app: see `BaseSchedule`.

    Raises:
        BadSchedule: an argument is not valid, or astral is not installed.
    """

    event: str
    lat: float
    lon: float
    tz: tzinfo | None = field(compare=False)  # always None: the sun keeps no time zone
    nowfun: Callable[[], datetime] | None = field(compare=False)

    def __init__(
        self,
        event: str,
        lat: float,
        lon: float,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        if event not in _EVENTS:
            raise BadSchedule(
                f"solar event={event!r} is not one of {', '.join(_EVENTS)}"
                f"{suggest(str(event), _EVENTS)}"
            )
        for name, value, bound in (("lat", lat, 90), ("lon", lon, 180)):
            if not isinstance(value, int | float) or not -bound <= value <= bound:
                raise BadSchedule(f"solar {name}={value!r} is not between -{bound} and {bound}")
        try:
            import astral.sun  # noqa: F401, PLC0415 - an extra
        except ImportError as error:
            raise BadSchedule("solar needs astral: pip install astral") from error
        object.__setattr__(self, "event", event)
        object.__setattr__(self, "lat", float(lat))
        object.__setattr__(self, "lon", float(lon))
        object.__setattr__(self, "tz", None)
        BaseSchedule.__init__(self, nowfun, app)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Return the schedule that `to_spec` described."""
        return cls(spec["event"], spec["lat"], spec["lon"])

    def to_spec(self) -> dict[str, Any]:
        """Return what `schedule_from_spec` makes an equal schedule of, ready for JSON."""
        return {"type": "solar", "event": self.event, "lat": self.lat, "lon": self.lon}

    def __repr__(self) -> str:
        return f"<solar: {self.event} at latitude {self.lat}, longitude: {self.lon}>"

    def _next(self, after: datetime, zone: tzinfo, anchor: datetime | None) -> datetime | None:  # noqa: ARG002 - the sun keeps no zone
        # At the date line a place's day is half a day away from that of UTC, and a quarter of an
        # hour more for the equation of time.
        day = after.date() - _DAY
        for _ in range(_SEARCH_DAYS):
            slot = self._on(day)
            if slot is not None and slot > after:
                return slot
            day += _DAY
        return None

    def _on(self, day: date) -> datetime | None:
        """Return when the event takes place on this solar day; None: it does not."""
        noon = _NOON - self.lon * _MINUTES_PER_DEGREE
        wanted = _EVENTS[self.event]
        if wanted is None:
            minutes: float | None = self._refine(day, noon, noon, None)
        else:
            # Where the season without the event begins or ends, it takes place near midnight or
            # noon, and seen from the other of them it would not.
            midnight = noon - _NOON if wanted[1] else noon + _NOON
            minutes = self._refine(day, noon, midnight, wanted)
            if minutes is None:
                minutes = self._refine(day, noon, noon, wanted)
        if minutes is None:
            return None
        return datetime.combine(day, time(), UTC) + timedelta(seconds=int(minutes * 60))

    def _refine(
        self, day: date, noon: float, guess: float, wanted: tuple[float, bool] | None
    ) -> float | None:
        """Return the minutes from `day` to the event, given those to mean noon and a guess.

        The sun moves on while the day passes, so each round reckons with its place at the time that
        the one before found.
        """
        from astral import SunDirection  # noqa: PLC0415 - an extra
        from astral.julian import julianday, julianday_to_juliancentury  # noqa: PLC0415 - an extra
        from astral.sun import eq_of_time, hour_angle, sun_declination  # noqa: PLC0415 - an extra

        latitude = max(-_NEAREST_TO_POLE, min(_NEAREST_TO_POLE, self.lat))
        start = julianday(day)
        for _ in range(_ROUNDS):
            century = julianday_to_juliancentury(start + guess / (2 * _NOON))
            guess = noon - eq_of_time(century)
            if wanted is not None:
                depression, rising = wanted
                direction = SunDirection.RISING if rising else SunDirection.SETTING
                try:
                    angle = hour_angle(
                        latitude, sun_declination(century), 90 + depression, direction
                    )
                except ValueError:
                    return None  # the sun stays above or below all day
                guess -= degrees(angle) * _MINUTES_PER_DEGREE
        return guess
