"""Pictures from cameras, streams, video files and folders, behind one small protocol."""
