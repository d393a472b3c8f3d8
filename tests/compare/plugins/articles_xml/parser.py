import glob
import os
import xml.etree.ElementTree as ElementTree

from biothings.utils.common import open_anyfile
from biothings.utils.dataload import dict_sweep, unlist


def load_data(data_folder):
    for path in sorted(glob.glob(os.path.join(data_folder, "*.xml.gz"))):
        with open_anyfile(path) as source:
            for _, element in ElementTree.iterparse(source):
                if element.tag == "article":
                    yield article(element)
                    element.clear()


def article(element):
    doc = {
        "_id": f"PM:{element.get('id')}",
        "title": text(element, "title"),
        "journal": {"name": text(element, "journal"), "year": int(text(element, "year"))},
        "authors": [{"last": text(one, "last"), "first": text(one, "first")} for one in element.iter("author")],
        "keywords": [one.text for one in element.iter("keyword")],
    }
    return unlist(dict_sweep(doc, vals=["", None]))


def text(element, tag):
    found = element.find(tag)
    return None if found is None else found.text
