"""Reference architectures, the trainer, safe checkpoints; explains nothing and draws nothing."""

from genoplrp.training.architectures import build_architecture, list_architectures
from genoplrp.training.checkpoint import load_model, save_model
from genoplrp.training.data import TrainingData, read_training_data
from genoplrp.training.folder import read_labelled_fasta, train_to_folder
from genoplrp.training.foreign import load_module
from genoplrp.training.metrics import evaluate
from genoplrp.training.model import TrainedModel
from genoplrp.training.profile_network import shape_of, total_of
from genoplrp.training.seeds import seed_table, train_seeds
from genoplrp.training.trainer import train

__all__ = [
    "TrainedModel",
    "TrainingData",
    "build_architecture",
    "evaluate",
    "list_architectures",
    "load_model",
    "load_module",
    "read_labelled_fasta",
    "read_training_data",
    "save_model",
    "seed_table",
    "shape_of",
    "total_of",
    "train",
    "train_seeds",
    "train_to_folder",
]
