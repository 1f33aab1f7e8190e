"""Writes numbers.json: what TensorBoard reads of an event file. python tests/oracle/tensorboard/read.py EVENTS

    uv venv /tmp/tensorboard && uv pip install --python /tmp/tensorboard/bin/python tensorboard==2.21.0 setuptools

EVENTS is what the test EventFile.IsWhatTensorboardReads leaves where PEFTLAB_EVENTS names a file.
"""

import hashlib
import json
import pathlib
import sys

import tensorboard
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

path = pathlib.Path(sys.argv[1])
found = {"tensorboard": tensorboard.__version__, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "version": "",
         "scalars": [], "hparams": {}}
# The loader checks both checksums of every record, and brings old summaries into the new form.
for event in event_file_loader.EventFileLoader(str(path)).Load():
    if event.file_version:
        found["version"] = event.file_version
    for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == "scalars":
            found["scalars"].append([value.tag, event.step, event.wall_time, repr(tensor_util.make_ndarray(value.tensor).item())])
        elif value.metadata.plugin_data.plugin_name == "hparams":
            data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
            if data.HasField("session_start_info"):
                start = data.session_start_info
                found["start"] = start.start_time_secs
                for name, hparam in start.hparams.items():
                    kind = hparam.WhichOneof("kind")
                    found["hparams"][name] = [kind, getattr(hparam, kind)]
            if data.HasField("session_end_info"):
                found["end"] = data.session_end_info.end_time_secs
                found["status"] = data.session_end_info.status
(pathlib.Path(__file__).parent / "numbers.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
