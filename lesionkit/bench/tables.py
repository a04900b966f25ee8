"""The benchmark's table for a terminal and for the README."""

import pandas as pd

NOTE = "Images a second: the model alone (a batch in memory), lesionkit (from its pixel store), plain fastai (from JPEG files)."


def text(table: pd.DataFrame) -> str:
    """Training, inference, memory and decoding as plain text, at most 120 columns wide."""
    return "\n\n".join([heading(table), _training(table), _inference(table), _besides(table), decoding(table)])


def heading(table: pd.DataFrame) -> str:
    """Three lines: what was measured, how, and where."""
    first = table.iloc[0]
    return f"{NOTE}\n{first['size']} px, batches of {first['batch']}; inference in fp32; {first['date']}\n{machine(table)}"


def machine(table: pd.DataFrame) -> str:
    """What it was measured on."""
    first = table.iloc[0]
    return f"{first['gpu'] or first['cpu']}, cores: {first['cores']}, threads: {first['threads']}, torch {first['torch']}"


def _training(table: pd.DataFrame) -> str:
    columns = {
        "train_model": "model", "train_lesionkit": "lesionkit", "train_fastai": "fastai", "train_to_model": "÷ model",
        "train_to_fastai": "÷ fastai", "used_precision": "precision", "train_bound_by": "bound by",
        "train_fastai_bound_by": "fastai by",
    }  # fmt: skip
    return _plain("training", table, columns)


def _besides(table: pd.DataFrame) -> str:
    """Batches with no model, images a second; seconds from opening the store to the first of them; peak memory, MB."""
    columns = {"batches": "batches alone", "first_batch_seconds": "first batch, s", "peak_mb": "peak MB"}
    if (table["gpu_peak_mb"] > 0).any():
        columns["gpu_peak_mb"] = "GPU MB"
    return _plain("lesionkit", table, columns)


def _inference(table: pd.DataFrame) -> str:
    columns = {
        "predict_model": "model", "predict_lesionkit": "lesionkit", "predict_fastai": "fastai", "predict_to_model": "÷ model",
        "predict_to_fastai": "÷ fastai", "predict_bound_by": "bound by", "predict_fastai_bound_by": "fastai by",
    }  # fmt: skip
    return _plain("inference", table, columns)


def _plain(title: str, table: pd.DataFrame, columns: dict[str, str]) -> str:
    cells = table[list(columns)].rename(columns=columns).map(_cell)
    cells.insert(0, title, [name[:21] for name in table["backbone"]])
    return cells.to_string(index=False, formatters={title: "{:<21}".format})


def _cell(value: object) -> str:
    """Three digits that count."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def decoding(table: pd.DataFrame) -> str:
    """Two lines: how fast JPEG files are decoded, against PIL in as many threads, and how fast they come into the store."""
    first = table.iloc[0]
    return (f"JPEG files of 600×450 px and {first['file_kb']:.0f} KB: {first['decode']:,.0f} images/s decoded,\n"
            f"{first['decode_pil']:,.0f} with PIL's open and resize ({first['decode_to_pil']:.2f} times as fast); "
            f"{first['store']:,.0f} into the store")  # fmt: skip


def where(table: pd.DataFrame) -> str:
    """A sentence for under the summary: on what, of which size, and how fast files are decoded."""
    first = table.iloc[0]
    return f"{machine(table)}; {first['size']} px, batches of {first['batch']}. {decoding(table)}.".replace("\n", " ")


def summary(table: pd.DataFrame) -> str:
    """The table in Markdown for a README: training and inference of each backbone, and what the training is bound by."""
    names = ["backbone", "model alone", "lesionkit", "plain fastai", "lesionkit ÷ model", "lesionkit ÷ fastai", "bound by",
             "inference ÷ model", "inference ÷ fastai"]  # fmt: skip
    columns = ["backbone", "train_model", "train_lesionkit", "train_fastai", "train_to_model", "train_to_fastai", "train_bound_by",
               "predict_to_model", "predict_to_fastai"]  # fmt: skip
    rows = [names, ["---"] + ["--:"] * (len(names) - 1)]
    rows += [[_cell(row[column]) for column in columns] for _, row in table.iterrows()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
