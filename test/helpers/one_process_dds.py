"""Fast DDS for tests: two participants in one process, and nobody who waits for the next period.

Within a process Fast DDS hands everything over directly, what its participants make known of
themselves too, and then now and then loses it for good: in 2 of 100 tests with two participants a
service was never found, in none of 350 with this switched off.

Participants make themselves known every 3 s, and writers ask that often what has arrived. Tests
wait for both hundreds of times, so that here the periods are shorter. All else is as in the
package's own profile, which test/transport runs as it is.
"""

import atexit
from collections.abc import Mapping
from functools import cache
import os
from pathlib import Path
import shutil
import tempfile

# By version 2 of Fast DDS and by version 3, which calls the period of a writer otherwise.
_HEARTBEAT = {
    'FASTRTPS_DEFAULT_PROFILES_FILE': 'heartbeatPeriod',
    'FASTDDS_DEFAULT_PROFILES_FILE': 'heartbeat_period',
}
_ROOT = '<dds xmlns="http://www.eprosima.com">'
_PARTICIPANT, _PROFILES_END = '<rtps>', '</profiles>'
_OFF = '<library_settings><intraprocess_delivery>OFF</intraprocess_delivery></library_settings>'
_KNOWN_SOONER = """<builtin><discovery_config><leaseAnnouncement>
<sec>0</sec><nanosec>500000000</nanosec>
</leaseAnnouncement></discovery_config></builtin>"""
_ASKED_SOONER = """<data_writer profile_name="asks_often" is_default_profile="true"><times><{0}>
<sec>0</sec><nanosec>100000000</nanosec>
</{0}></times></data_writer>"""

# Workers of pytest-xdist inherit what the first process has set.
_GIVEN = 'DA3_TEST_GIVEN_'


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix='da3_ros_test_'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _profile(variable: str, given: str, *, is_of_programs: bool) -> str:
    """Return the path of a profile like the given one."""
    text = Path(given).read_text(encoding='utf-8')
    added = {
        _PARTICIPANT: f'{_PARTICIPANT}{_KNOWN_SOONER}',
        _PROFILES_END: f'{_ASKED_SOONER.format(_HEARTBEAT[variable])}{_PROFILES_END}',
        _ROOT: _ROOT if is_of_programs else f'{_ROOT}\n  {_OFF}',
    }
    for place, replacement in added.items():
        assert text.count(place) == 1, (given, place)
        text = text.replace(place, replacement)
    path = _folder() / f'{len(list(_folder().iterdir()))}.xml'
    path.write_text(text, encoding='utf-8')
    return str(path)


def _given(variable: str) -> str | None:
    """Return the path of the profile that this run of tests was given."""
    return os.environ.get(_GIVEN + variable, os.environ.get(variable))


def hand_over_as_between_processes() -> None:
    """Switch the direct way off for this process; call it before any participant is made."""
    for name in _HEARTBEAT:
        given = _given(name)
        if given is not None:
            os.environ[_GIVEN + name] = given
            os.environ[name] = _profile(name, given, is_of_programs=False)


def of_programs() -> Mapping[str, str]:
    """Return the variables that programs get in place of this process's."""
    given = {name: _given(name) for name in _HEARTBEAT}
    return {
        name: _profile(name, path, is_of_programs=True)
        for name, path in given.items()
        if path is not None
    }
