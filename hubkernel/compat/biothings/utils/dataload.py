"""``biothings.utils.dataload``: the helpers of parsers. What each does, and where the SDK's does something else, is in
docs/plugin-authors/helpers.md.
"""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.utils._files import anyfile, open_anyfile
from hubkernel.compat.biothings.utils._numbers import (
    boolean_convert,
    float_convert,
    int_convert,
    safe_type,
    to_boolean,
    to_float,
    to_int,
    to_number,
    value_convert_to_number,
)
from hubkernel.compat.biothings.utils._paths import convert_at as value_convert_incexcl
from hubkernel.compat.biothings.utils._paths import traverse_keys
from hubkernel.compat.biothings.utils._shapes import (
    Min,
    MinType,
    alwayslist,
    dict_apply,
    dict_attrmerge,
    dict_convert,
    dict_nodup,
    dict_to_list,
    dict_traverse,
    dict_walk,
    dupline_seperator,
    id_strip,
    list2dict,
    list_itemcnt,
    list_split,
    listitems,
    listsort,
    merge_dict,
    merge_duplicate_rows,
    merge_root_keys,
    merge_struct,
    normalized_value,
    update_dict_recur,
    updated_dict,
    value_convert,
)
from hubkernel.compat.biothings.utils._sweep import dict_sweep, unlist, unlist_incexcl
from hubkernel.compat.biothings.utils._tables import (
    file_merge,
    rec_handler,
    tab2dict,
    tab2dict_iter,
    tab2list,
    tabfile_feeder,
    tabfile_tester,
)

__all__ = [
    "Min",
    "MinType",
    "alwayslist",
    "anyfile",
    "boolean_convert",
    "dict_apply",
    "dict_attrmerge",
    "dict_convert",
    "dict_nodup",
    "dict_sweep",
    "dict_to_list",
    "dict_traverse",
    "dict_walk",
    "dupline_seperator",
    "file_merge",
    "float_convert",
    "id_strip",
    "int_convert",
    "list2dict",
    "list_itemcnt",
    "list_split",
    "listitems",
    "listsort",
    "merge_dict",
    "merge_duplicate_rows",
    "merge_root_keys",
    "merge_struct",
    "normalized_value",
    "open_anyfile",
    "rec_handler",
    "safe_type",
    "tab2dict",
    "tab2dict_iter",
    "tab2list",
    "tabfile_feeder",
    "tabfile_tester",
    "to_boolean",
    "to_float",
    "to_int",
    "to_number",
    "traverse_keys",
    "unlist",
    "unlist_incexcl",
    "update_dict_recur",
    "updated_dict",
    "value_convert",
    "value_convert_incexcl",
    "value_convert_to_number",
]

__getattr__ = answer(
    __name__,
    why={
        "llist": "it never worked in the SDK; '\\n'.join(map(str, items)) does what it was for",
        "unique_ids": "collect the _id of what load_data yields in a set",
    },
)
