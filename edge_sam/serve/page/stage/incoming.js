/** Photographs that come in: chosen, dropped or pasted. */

/** Call `open(file)` for each, or `refuse(error)` for something else. */
export function listenToIncoming(open, refuse) {
  const take = (files) => {
    const file = [...files].find(({ type }) => type.startsWith('image/')) ?? files[0];
    if (!file) return;
    if (file.type && !file.type.startsWith('image/')) refuse(new Error(`${file.name} is not a photograph.`));
    else open(file);
  };
  const chosen = document.getElementById('file');
  chosen.addEventListener('change', () => {
    take(chosen.files);
    chosen.value = ''; // So that the same file can be chosen again.
  });
  document.addEventListener('paste', ({ clipboardData }) => take(clipboardData.files));
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove('dropping');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    take(event.dataTransfer.files);
  });
}
