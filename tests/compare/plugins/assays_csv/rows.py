def load_assays(data_folder):
    from .common import rows_of

    for row in rows_of(data_folder, "assays", "rows.csv"):
        value = float(row["value"]) if row["value"] else None
        yield {
            "_id": row["id"],
            "assay": {
                "name": row["name"],
                "value": value,
                "comment": row["comment"] or None,
                "flags": [flag == "Y" for flag in row["flags"]],
            },
        }
