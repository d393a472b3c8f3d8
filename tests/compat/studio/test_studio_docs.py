"""What the operators' page says is there."""

from __future__ import annotations

import re
from pathlib import Path

from hubkernel.hub.config import HubConfig
from hubkernel.hub.config_sources import read_toml
from hubkernel.hub.tables import HIDDEN, PUBLIC

PAGE = (Path(__file__).parents[3] / "docs" / "operators" / "studio.md").read_text()


def test_the_page_names_each_setting_of_studio_and_no_other() -> None:
    named = set(re.findall(r"\bstudio_\w+", PAGE))
    assert named == {name for name in HubConfig.model_fields if name.startswith("studio_")}


def test_its_settings_can_be_written_so(tmp_path: Path) -> None:
    (sample,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    file = tmp_path / "hubkernel.toml"
    file.write_text("\n".join(line.strip() for line in sample.splitlines()))
    found = read_toml(file, {name: name for name in HubConfig.model_fields})
    HubConfig.model_validate({name: setting.value for name, setting in found.items()})


def test_the_commands_it_calls_exist() -> None:
    known = {row.name for row in (*PUBLIC, *HIDDEN)}
    called = set(re.findall(r"\b([a-z_]+)\(", PAGE))
    assert {"create_token", "rotate_token", "revoke_token", "list_tokens", "status", "dump"} == called
    assert called <= known
