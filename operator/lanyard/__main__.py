from lanyard.entry.cli import main

main()
