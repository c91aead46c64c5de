"""Images of elements at an epoch, the files of backups and exports, elements made from them."""
