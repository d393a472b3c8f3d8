"""Small plugins as people write them: what the public ones import, override and rely on."""

from __future__ import annotations

import io
import json
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.dump_tools import Bench, Web, web_server
from tests.pipeline.hub_tools import Hub

Files = dict[str, str]
TSV = "id\tname\ttaxid\nA1\talpha\t9606\nA2\t-\tNA\n"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path)
    yield made
    made.close()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def manifest(**more: Any) -> str:
    uploader = {"parser": "parser:load_data", "on_duplicates": "error", **more.pop("uploader", {})}
    dumper = {"data_url": "https://data.example.org/rows.tsv", **more.pop("dumper", {})}
    return json.dumps({"version": "0.2", "dumper": dumper, "uploader": uploader, **more})


def zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def uploaded(hub: Hub, name: str, files: Files, collection: str = "") -> dict[str, dict[str, Any]]:
    """The documents of a plugin whose release is one small table."""
    hub.plugins.load(write(hub.root / "plugins" / name, files))
    hub.release(name, "2023-11-14", {"rows.tsv": TSV})
    hub.upload(name)
    return hub.documents(collection or name)


def test_relative_imports_and_imports_inside_functions(hub: Hub) -> None:
    parser = """
        from .common.reading import rows

        def load_data(data_folder):
            import os
            from .clean import clean as tidy
            for row in rows(os.path.join(data_folder, "rows.tsv")):
                yield tidy(row)
    """
    reading = """
        import csv

        def rows(path):
            with open(path) as source:
                yield from csv.DictReader(source, delimiter="\\t")
    """
    clean = """
        from .common import EMPTY

        def clean(row):
            doc = {key: value for key, value in row.items() if value not in EMPTY}
            doc["_id"] = doc.pop("id")
            return doc
    """
    files = {"parser.py": parser, "common/__init__.py": "EMPTY = ['-', 'NA']\n", "common/reading.py": reading}
    found = uploaded(hub, "relative", {**files, "clean.py": clean, "manifest.json": manifest()})
    assert found == {"A1": {"name": "alpha", "taxid": "9606"}, "A2": {}}


def test_a_folder_with_a_hyphen_whose_files_import_each_other_plainly(hub: Hub) -> None:
    parser = """
        import constants
        from reader import first_column

        def load_data(data_folder):
            for value in first_column(data_folder + "/rows.tsv"):
                yield {"_id": constants.PREFIX + value}
    """
    reader = """
        def first_column(path):
            with open(path) as lines:
                return [line.split("\\t")[0] for line in lines][1:]
    """
    files = {"parser.py": parser, "constants.py": "PREFIX = 'x:'\n", "reader.py": reader, "manifest.json": manifest()}
    assert uploaded(hub, "my-hyphen-plugin", files).keys() == {"x:A1", "x:A2"}


def test_the_folder_as_a_package(hub: Hub) -> None:
    parser = """
        import os
        from packaged.helper import make

        def load_data(data_folder):
            import packaged.helper
            assert packaged.helper.make is make
            assert os.listdir(data_folder) == ["rows.tsv"]
            return map(make, "ab")
    """
    helper = "def make(text):\n    return {'_id': text, 'made': True}\n"
    found = uploaded(hub, "packaged", {"parser.py": parser, "helper.py": helper, "manifest.json": manifest()})
    assert found == {"a": {"made": True}, "b": {"made": True}}


def test_metadata_with_an_author_requires_as_a_text_and_an_unknown_key(hub: Hub) -> None:
    metadata = {
        "license_url": "https://example.org/license",
        "licence": "CC-BY 4.0",
        "url": "https://example.org",
        "author": {"name": "A. Author", "url": "https://example.org/author"},
    }
    text = manifest(__metadata__=metadata, requires="pydantic", author="A. Author", display_name="Many keys")
    parser = "def load_data(data_folder):\n    return [{'_id': 'x'}]\n"
    assert uploaded(hub, "manykeys", {"parser.py": parser, "manifest.json": text}) == {"x": {}}
    master = hub.context.state["src_master"].find_one({"_id": "manykeys"})
    assert master is not None
    assert {key: master["src_meta"][key] for key in metadata} == metadata


def test_a_mapping_takes_the_class(hub: Hub) -> None:
    mapping = """
        def custom_mapping(cls):
            assert cls.name == "mapped"
            return {"name": {"type": "text", "copy_to": ["all"]}}
    """
    files = {"parser.py": "def load_data(folder):\n    yield {'_id': 'x'}\n", "mapping.py": mapping}
    uploaded(hub, "mapped", {**files, "manifest.json": manifest(uploader={"mapping": "mapping:custom_mapping"})})
    master = hub.context.state["src_master"].find_one({"_id": "mapped"})
    assert master is not None
    assert master["mapping"] == {"name": {"type": "text", "copy_to": ["all"]}}


def test_a_parallelizer_looks_into_the_data_folder(hub: Hub) -> None:
    parallelizer = """
        def by_file(self):
            import glob
            import os
            return [(path,) for path in glob.glob(os.path.join(self.data_folder, "*.tsv"))]
    """
    parser = """
        def load_data(path):
            with open(path) as lines:
                next(lines)
                for line in lines:
                    yield {"_id": line.split()[0]}
    """
    files = {"parser.py": parser, "parallelizer.py": parallelizer}
    text = manifest(uploader={"parallelizer": "parallelizer:by_file"})
    assert uploaded(hub, "parallel", {**files, "manifest.json": text}).keys() == {"A1", "A2"}


@pytest.mark.parametrize(
    ("body", "release"),
    [
        ('return self.client.head(self.SRC_URLS[0]).headers["etag"].strip(chr(34))', "r7"),
        ("import json\n    return json.loads(self.client.get(self.__class__.SRC_URLS[-1]).text)['version']", "7.1"),
        ("answer = self.client.get(self.SRC_URLS[0])\n    return answer.json()['version'] + '-json'", "7.1-json"),
        (
            "answer = self.client.head(self.SRC_URLS[0], allow_redirects=True)\n"
            "    answer.raise_for_status()\n    return str(answer.status_code)",
            "200",
        ),
        ("self.logger.info('fixed')\n    return '2021-01'", "2021-01"),
    ],
)
def test_a_release_function_asks_the_server(bench: Bench, web: Web, body: str, release: str) -> None:
    web["/info.json"] = b'{"version": "7.1"}'
    web["/info.json"].etag = '"r7"'
    bench.plugin("asks", web.url("/info.json"), code=f"def label(self):\n    {body}\n", release="parser:label")
    assert bench.dump("asks") == release


HELPERS = """
    from biothings import config
    from biothings.utils.dataload import dict_sweep, tabfile_feeder, unlist, value_convert_to_number

    logging = config.logger

    def load_data(data_folder):
        for id, name, taxid in tabfile_feeder(data_folder + "/rows.tsv", header=1):
            logging.info("row %s", id)
            doc = {"names": [name], "taxid": taxid, "xref": {"id": id}}
            doc = unlist(dict_sweep(value_convert_to_number(doc)))
            doc["_id"] = id
            yield doc
"""
HELPED = {
    "A1": {"names": "alpha", "taxid": 9606, "xref": {"id": "A1"}},
    "A2": {"xref": {"id": "A2"}},
}
DUMPER = """
    import os
    import biothings, config
    biothings.config_for_app(config)
    from config import DATA_ARCHIVE_ROOT
    from biothings.hub.dataload.dumper import LastModifiedHTTPDumper

    class ClassicDumper(LastModifiedHTTPDumper):
        SRC_NAME = "classic"
        SRC_ROOT_FOLDER = os.path.join(DATA_ARCHIVE_ROOT, "classic")
        SRC_URLS = ["https://data.example.org/rows.tsv"]
        SCHEDULE = "0 12 * * *"
"""


def test_the_helpers_of_the_sdk(hub: Hub) -> None:
    assert uploaded(hub, "helped", {"parser.py": HELPERS, "manifest.json": manifest()}) == HELPED


def test_a_package_of_classes_that_imports_config(hub: Hub) -> None:
    upload = """
        import biothings.hub.dataload.uploader as uploader
        from .parser import load_data

        class ClassicUploader(uploader.BaseSourceUploader):
            main_source = "classic"
            name = "classic_rows"
            __metadata__ = {"src_meta": {"url": "https://example.org", "license": "CC0"}}

            def load_data(self, data_folder):
                self.logger.info("loading from %s", data_folder)
                return load_data(data_folder)

            def post_update_data(self, *args, **kwargs):
                for field in ("taxid", "xref.id"):
                    self.logger.info("indexing %s", field)
                    self.collection.create_index(field)

            @classmethod
            def get_mapping(cls):
                return {"taxid": {"type": "integer"}, "names": {"type": "text"}}
    """
    init = "from .dump import ClassicDumper\nfrom .upload import ClassicUploader\n"
    files = {"__init__.py": init, "dump.py": DUMPER, "upload.py": upload, "parser.py": HELPERS}
    assert uploaded(hub, "classic", files, "classic_rows") == HELPED
    master = hub.context.state["src_master"].find_one({"_id": "classic_rows"})
    assert master is not None
    assert master["mapping"] == {"taxid": {"type": "integer"}, "names": {"type": "text"}}
    assert (master["src_meta"]["license"], master["name"]) == ("CC0", "classic_rows")


def test_code_that_was_exported_from_a_manifest(hub: Hub) -> None:
    upload = """
        import biothings, config
        biothings.config_for_app(config)

        import biothings.hub.dataload.uploader

        # when code is exported, import becomes relative
        try:
            from Exported.parser import load_data as parser_func
        except ImportError:
            from .parser import load_data as parser_func

        class ExportedUploader(biothings.hub.dataload.uploader.BaseSourceUploader):
            name = "exported"
            __metadata__ = {"src_meta": {"license": "CC0"}}
            idconverter = None
            storage_class = biothings.utils.storage.IgnoreDuplicatedStorage

            def load_data(self, data_folder):
                self.logger.info("Load data from directory: '%s'" % data_folder)
                return parser_func(data_folder)
    """
    parser = """
        def load_data(data_folder):
            for number in range(4):
                yield {"_id": str(number % 2), "number": number}
    """
    init = "from .upload import ExportedUploader\n"
    found = uploaded(hub, "exported", {"__init__.py": init, "upload.py": upload, "parser.py": parser})
    assert found == {"0": {"number": 0}, "1": {"number": 1}}


def test_a_dumper_that_compares_its_release_with_the_last_one_and_unzips(bench: Bench, web: Web) -> None:
    dump = f"""
        import os
        from biothings import config
        from biothings.hub.dataload.dumper import DumperException, HTTPDumper
        from biothings.utils.common import unzipall

        class OwnListDumper(HTTPDumper):
            SRC_NAME = "own_list"
            SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, SRC_NAME)
            VERSION = "{web.url("/version")}"
            FILE = "{web.url("/all.zip")}"

            def set_release(self):
                answer = self.client.get(self.VERSION)
                if answer.status_code != 200:
                    raise DumperException("no version")
                self.release = answer.text.strip()

            def new_release_available(self):
                current = self.src_doc.get("download", {{}}).get("release")
                return not current or self.release > current

            def create_todump_list(self, force=False, **kwargs):
                self.set_release()
                if force or self.new_release_available():
                    local = os.path.join(self.new_data_folder, os.path.basename(self.FILE))
                    self.to_dump.append({{"remote": self.FILE, "local": local}})

            def post_dump(self, *args, **kwargs):
                unzipall(self.new_data_folder)
    """
    web["/version"], web["/all.zip"] = b"2023.1\n", zipped("in/rows.tsv", TSV)
    folder = bench.context.plugins / "own_list"
    bench.plugins.load(write(folder, {"__init__.py": "from .dump import OwnListDumper\n", "dump.py": dump}))
    assert bench.dump("own_list") == "2023.1"
    assert bench.folder("own_list").name == "2023.1"
    assert bench.files("own_list")["in/rows.tsv"] == TSV.encode()
    assert bench.dump("own_list") == "Nothing to dump"
    web["/version"], web["/all.zip"] = b"2023.2\n", zipped("in/rows.tsv", TSV + TSV)
    assert bench.dump("own_list") == "2023.2"
    web.resources.pop("/version")
    with pytest.raises(Exception, match="no version"):
        bench.dump("own_list")
    assert bench.doc("own_list")["last_good"]["release"] == "2023.2"
