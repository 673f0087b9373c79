"""Everything that this program says to people, in English and in Chinese: one catalogue, a file for each area."""

from gridsidecar.language.chinese import (
    check,
    commands,
    composed,
    configuration_faults,
    doctor,
    fleet,
    handler,
    help,
    labels,
    library,
    log,
    manifest_comments,
    manifests,
    servers,
    settings,
    tasks,
)

AREAS = (
    check,
    commands,
    composed,
    configuration_faults,
    doctor,
    fleet,
    handler,
    help,
    labels,
    library,
    log,
    manifest_comments,
    manifests,
    servers,
    settings,
    tasks,
)
CHINESE = {english: chinese for area in AREAS for english, chinese in area.CHINESE.items()}
